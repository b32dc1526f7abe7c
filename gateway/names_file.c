#include "gateway/names_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 512, LINE_BYTES = OVERLAY_NAME_BYTES + 32, LINES_MAX = 4 * NAMES_FOREIGN_MAX };

static bool
path_of(const char *folder, const char *name, char ret[PATH_BYTES])
{
    int len = snprintf(ret, PATH_BYTES, "%s/%s", folder, name);

    return len > 0 && len < PATH_BYTES;
}

static void
read_line(const char *line, struct nested *names, struct moment now)
{
    char name[OVERLAY_NAME_BYTES] = "";
    uint64_t seen_s = 0;
    uint64_t now_s = now.wall_ms / 1000;

    _Static_assert(OVERLAY_NAME_BYTES == 128, "the width below");
    if (sscanf(line, "%127[a-z0-9._-] %" SCNu64, name, &seen_s) != 2)
        return;
    nested_hear(names, now, name, now_s > seen_s ? now_s - seen_s : 0);
}

void
names_file_read(const char *folder, struct nested *names, struct moment now)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    FILE *in = path_of(folder, "names", path) ? fopen(path, "re") : NULL;

    if (!in)
        return;
    for (int i = 0; i < LINES_MAX && fgets(line, sizeof(line), in); i++)
        read_line(line, names, now);
    fclose(in);
}

static bool
write_all(int fd, const struct nested *names)
{
    size_t count;
    const struct nested_name *name = nested_names(names, &count);
    FILE *out = fdopen(fd, "w");
    bool is_written = out != NULL;

    if (!out) {
        close(fd);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (name[i].seen_wall_ms > 0)
            fprintf(out, "%s %" PRIu64 "\n", name[i].name, name[i].seen_wall_ms / 1000);
    is_written = fflush(out) == 0 && fsync(fd) == 0;
    return fclose(out) == 0 && is_written;
}

void
names_file_write(const char *folder, const struct nested *names)
{
    char path[PATH_BYTES], fresh[PATH_BYTES];
    int fd;

    if (!path_of(folder, "names", path) || !path_of(folder, "names.new", fresh))
        return;
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !write_all(fd, names) || rename(fresh, path) != 0)
        log_write(LOG_LEVEL_WARN, "daemon",
                  "%s: %s: names of other overlays are not kept over a restart", path,
                  strerror(errno));
}
