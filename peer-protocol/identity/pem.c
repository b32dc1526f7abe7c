#include "peer-protocol/identity/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer-protocol/identity/openssl.h"

enum status
pem_path(const char *folder, const char *name, char out[PEM_PATH_BYTES], struct why *why)
{
    int len = snprintf(out, PEM_PATH_BYTES, "%s/%s", folder, name);

    if (len < 0 || len >= PEM_PATH_BYTES)
        return why_set(why, ST_RANGE, "%.64s...: the path is too long", folder);
    return ST_OK;
}

bool
pem_exists(const char *folder, const char *name)
{
    char path[PEM_PATH_BYTES];

    return pem_path(folder, name, path, NULL) == ST_OK && access(path, F_OK) == 0;
}

enum status
pem_make_folder(const char *folder, struct why *why)
{
    char path[PEM_PATH_BYTES];

    if (folder[0] == '\0' || strlen(folder) >= sizeof(path))
        return why_set(why, ST_RANGE, "%.64s: not a folder's name", folder);
    for (size_t i = 0;; i++) {
        path[i] = folder[i];
        if (i > 0 && (folder[i] == '/' || folder[i] == '\0')) {
            path[i] = '\0';
            if (mkdir(path, folder[i] == '\0' ? 0700 : 0755) != 0 && errno != EEXIST)
                return why_set(why, ST_IO, "%s: %s", path, strerror(errno));
            path[i] = folder[i];
        }
        if (folder[i] == '\0')
            return ST_OK;
    }
}

static enum status
write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.data, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return ST_IO;
        bytes = slice_of(bytes.data + written, bytes.len - (size_t)written);
    }
    return fsync(fd) == 0 ? ST_OK : ST_IO;
}

static enum status
write_file(const char *folder, const char *name, mode_t mode, struct slice bytes, struct why *why)
{
    char path[PEM_PATH_BYTES];
    char beside[PEM_PATH_BYTES];
    char hidden[64];

    snprintf(hidden, sizeof(hidden), ".%s.new", name);
    enum status st = pem_path(folder, name, path, why);
    if (st == ST_OK)
        st = pem_path(folder, hidden, beside, why);
    if (st != ST_OK)
        return st;
    unlink(beside); /* left behind by a run that was cut off */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return why_set(why, ST_IO, "%s: %s", beside, strerror(errno));
    st = write_all(fd, bytes);
    close(fd);
    if (st != ST_OK || rename(beside, path) != 0) {
        st = why_set(why, ST_IO, "%s: %s", path, strerror(errno));
        unlink(beside);
    }
    return st;
}

enum status
pem_write(const char *folder, const char *name, mode_t mode, EVP_PKEY *key, X509 *certificate,
          struct why *why)
{
    /* Secure memory is wiped when it is freed. */
    BIO *out = BIO_new(BIO_s_secmem());
    char *bytes = NULL;
    enum status st = ST_NOMEM;

    if (!out)
        return why_set(why, ST_NOMEM, "%s", status_text(ST_NOMEM));
    if (key && PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        goto fail;
    if (certificate && PEM_write_bio_X509(out, certificate) != 1)
        goto fail;
    long len = BIO_get_mem_data(out, &bytes);
    st = write_file(folder, name, mode, slice_of(bytes, (size_t)len), why);
    BIO_free(out);
    return st;

fail:
    BIO_free(out);
    return why_set(why, st, "%s: %s", name, openssl_reason());
}

enum status
pem_write_text(const char *folder, const char *name, const char *text, struct why *why)
{
    char line[256];
    int len = snprintf(line, sizeof(line), "%s\n", text);

    if (len < 0 || len >= (int)sizeof(line))
        return why_set(why, ST_RANGE, "%s: too long", name);
    return write_file(folder, name, 0644, slice_text(line), why);
}

static enum status
open_file(const char *folder, const char *name, FILE **ret, struct why *why)
{
    char path[PEM_PATH_BYTES];
    enum status st = pem_path(folder, name, path, why);

    if (st != ST_OK)
        return st;
    FILE *file = fopen(path, "re");
    if (!file)
        return why_set(why, ST_IO, "%s: %s", path, strerror(errno));
    *ret = file;
    return ST_OK;
}

enum status
pem_read_text(const char *folder, const char *name, char *out, size_t out_bytes, struct why *why)
{
    FILE *file;
    enum status st = open_file(folder, name, &file, why);

    if (st != ST_OK)
        return st;
    bool is_read = fgets(out, (int)out_bytes, file) != NULL;
    fclose(file);
    if (!is_read)
        return why_set(why, ST_IO, "%s/%s: empty", folder, name);
    out[strcspn(out, "\r\n")] = '\0';
    return ST_OK;
}

enum status
pem_read_certificate(const char *folder, const char *name, X509 **ret, struct why *why)
{
    FILE *file;
    enum status st = open_file(folder, name, &file, why);

    if (st != ST_OK)
        return st;
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    if (!certificate)
        return why_set(why, ST_SIGNATURE, "%s/%s: not a certificate: %s", folder, name,
                       openssl_reason());
    *ret = certificate;
    return ST_OK;
}

/* Without this, OpenSSL would ask on the terminal for the password of an encrypted key. */
static int
no_password(char *out, int out_bytes, int is_writing, void *ctx)
{
    (void)out;
    (void)out_bytes;
    (void)is_writing;
    (void)ctx;
    return 0;
}

enum status
pem_read_key(const char *folder, const char *name, EVP_PKEY **ret, struct why *why)
{
    FILE *file;
    enum status st = open_file(folder, name, &file, why);

    if (st != ST_OK)
        return st;
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, no_password, NULL);
    fclose(file);
    if (!key)
        return why_set(why, ST_SIGNATURE, "%s/%s: not an unencrypted private key: %s", folder, name,
                       openssl_reason());
    *ret = key;
    return ST_OK;
}
