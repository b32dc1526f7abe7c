#include "gateway/plugin_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (64u << 20)

/* ---- whose it is ---- */

static enum status
check_mode(const char *path, const struct stat *s, struct why *why)
{
    bool is_shared_folder = S_ISDIR(s->st_mode) && (s->st_mode & S_ISVTX);

    if (s->st_uid != 0 && s->st_uid != geteuid())
        return why_set(why, ST_CONFIG, "found %s of user %u, allowed are root and user %u", path,
                       (unsigned)s->st_uid, (unsigned)geteuid());
    if ((s->st_mode & (S_IWGRP | S_IWOTH)) && !is_shared_folder)
        return why_set(why, ST_CONFIG,
                       "found %s with mode %04o, allowed is one that its owner alone may write",
                       path, (unsigned)s->st_mode & 07777);
    return ST_OK;
}

static enum status
check_folder(const char *path, struct why *why)
{
    struct stat s;

    if (stat(path, &s) != 0)
        return why_set(why, ST_CONFIG, "found no folder %s: %s", path, strerror(errno));
    return check_mode(path, &s, why);
}

/* Who may write in a folder may put another in the place of what is in it. */
static enum status
check_folders(const char *path, struct why *why)
{
    char folder[PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof(folder))
        return why_set(why, ST_CONFIG, "found a path that is too long");
    memcpy(folder, path, len + 1);
    for (char *slash = strrchr(folder, '/'); slash; slash = strrchr(folder, '/')) {
        bool is_root = slash == folder;
        slash[is_root] = '\0';
        enum status st = check_folder(folder, why);
        if (st != ST_OK || is_root)
            return st;
    }
    return check_folder(".", why);
}

/* As it is written, and where links lead. */
static enum status
check_path(const char *path, char real[PATH_MAX], struct why *why)
{
    enum status st;

    if (!realpath(path, real))
        return why_set(why, ST_CONFIG, "found no plug-in %s: %s", path, strerror(errno));
    st = check_folders(real, why);
    return st == ST_OK ? check_folders(path, why) : st;
}

/* ---- is it whole? ---- */

static bool
is_inside(size_t offset, size_t bytes, size_t whole)
{
    return offset <= whole && bytes <= whole - offset;
}

static bool
are_segments_inside(const uint8_t *data, size_t len, const Elf64_Ehdr *head)
{
    for (size_t i = 0; i < head->e_phnum; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, data + head->e_phoff + i * sizeof(segment), sizeof(segment));
        if ((segment.p_type == PT_LOAD || segment.p_type == PT_DYNAMIC) &&
            (!is_inside(segment.p_offset, segment.p_filesz, len) ||
             segment.p_filesz > segment.p_memsz))
            return false;
    }
    return true;
}

static bool
are_sections_inside(const uint8_t *data, size_t len, const Elf64_Ehdr *head)
{
    for (size_t i = 0; i < head->e_shnum; i++) {
        Elf64_Shdr section;
        memcpy(&section, data + head->e_shoff + i * sizeof(section), sizeof(section));
        if (section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL &&
            !is_inside(section.sh_offset, section.sh_size, len))
            return false;
    }
    return true;
}

/* This program's own header says what machine it is for. */
static uint16_t
own_machine(void)
{
    Elf64_Ehdr own = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    bool is_read = fd >= 0 && read(fd, &own, sizeof(own)) == (ssize_t)sizeof(own);

    if (fd >= 0)
        close(fd);
    return is_read ? own.e_machine : EM_NONE;
}

static enum status
check_object(const char *path, struct slice bytes, struct why *why)
{
    uint16_t machine = own_machine();
    Elf64_Ehdr head;

    if (bytes.len < sizeof(head) || memcmp(bytes.data, ELFMAG, SELFMAG) != 0)
        return why_set(why, ST_CONFIG, "found no plug-in that can be loaded: %s is no object",
                       path);
    memcpy(&head, bytes.data, sizeof(head));
    if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_type != ET_DYN ||
        (machine != EM_NONE && head.e_machine != machine))
        return why_set(
            why, ST_CONFIG,
            "found no plug-in that can be loaded: %s is no shared object of this machine", path);
    if (head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phnum == 0 ||
        !is_inside(head.e_phoff, head.e_phnum * sizeof(Elf64_Phdr), bytes.len) ||
        (head.e_shnum > 0 &&
         (head.e_shentsize != sizeof(Elf64_Shdr) ||
          !is_inside(head.e_shoff, head.e_shnum * sizeof(Elf64_Shdr), bytes.len))) ||
        !are_segments_inside(bytes.data, bytes.len, &head) ||
        !are_sections_inside(bytes.data, bytes.len, &head))
        return why_set(why, ST_CONFIG,
                       "found no plug-in that can be loaded: %s is not whole, %zu bytes are there",
                       path, bytes.len);
    return ST_OK;
}

/* ---- reading ---- */

static enum status
read_whole(int fd, const char *path, struct slice *ret, struct why *why)
{
    struct stat s;
    uint8_t *data;
    size_t len = 0;
    enum status st;

    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size <= 0 || s.st_size > FILE_BYTES_MAX)
        return why_set(why, ST_CONFIG,
                       "found no plug-in that can be loaded: %s is no file of 1 to %u bytes", path,
                       FILE_BYTES_MAX);
    st = check_mode(path, &s, why);
    if (st != ST_OK)
        return st;
    data = malloc((size_t)s.st_size);
    if (!data)
        return ST_NOMEM;
    while (len < (size_t)s.st_size) {
        ssize_t n = read(fd, data + len, (size_t)s.st_size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    *ret = slice_of(data, len);
    return check_object(path, *ret, why);
}

enum status
plugin_file_read(const char *path, struct slice *ret_bytes, struct why *why)
{
    struct slice bytes = {0};
    char real[PATH_MAX];
    enum status st = check_path(path, real, why);
    int fd;

    if (st != ST_OK)
        return st;
    fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return why_set(why, ST_CONFIG, "found no plug-in that can be loaded: %s: %s", real,
                       strerror(errno));
    st = read_whole(fd, real, &bytes, why);
    close(fd);
    if (st != ST_OK)
        slice_free(&bytes);
    else
        *ret_bytes = bytes;
    return st;
}

static bool
write_whole(int fd, struct slice bytes)
{
    for (size_t at = 0; at < bytes.len;) {
        ssize_t n = write(fd, bytes.data + at, bytes.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

enum status
plugin_file_copy(struct slice bytes, const char *name, int *ret_fd, struct why *why)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || !write_whole(fd, bytes) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
        enum status st = why_set(why, ST_IO, "found no room for a copy of the plug-in %s: %s", name,
                                 strerror(errno));
        if (fd >= 0)
            close(fd);
        return st;
    }
    *ret_fd = fd;
    return ST_OK;
}
