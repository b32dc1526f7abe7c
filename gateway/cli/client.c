#include "gateway/cli/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

#define ANSWER_LIMIT (16u << 20)
#define TIMEOUT_S    15

static enum status
connect_to(const char *path, int *ret_fd, struct why *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = TIMEOUT_S};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return why_set(why, ST_UNREACHABLE, "%.120s: the path is too long for a socket", path);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return why_set(why, ST_IO, "%s", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        why_set(why, ST_UNREACHABLE, "no daemon answers on %.120s: %s", path, strerror(errno));
        close(fd);
        return ST_UNREACHABLE;
    }
    *ret_fd = fd;
    return ST_OK;
}

static enum status
write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ST_IO;
        text += n;
        len -= (size_t)n;
    }
    return ST_OK;
}

static enum status
send_request(int fd, const char *method, const char *path, const char *body)
{
    char *request = NULL;
    int len = asprintf(&request,
                       "%s %s HTTP/1.1\r\nHost: ringway\r\nConnection: close\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       method, path, strlen(body), body);
    enum status st = len < 0 ? ST_NOMEM : write_all(fd, request, (size_t)len);

    if (len >= 0)
        free(request);
    return st;
}

/* The value of Content-Length in the head of an answer; false while it is not there. */
static bool
content_length(const char *head, const char *head_end, size_t *ret)
{
    for (const char *line = head; line < head_end; line += strcspn(line, "\n") + 1)
        if (strncasecmp(line, "Content-Length:", 15) == 0) {
            *ret = strtoull(line + 15, NULL, 10);
            return true;
        }
    return false;
}

static bool
is_complete(const char *text, size_t len)
{
    const char *head_end = strstr(text, "\r\n\r\n");
    size_t body;

    return head_end && content_length(text, head_end, &body) && body <= ANSWER_LIMIT &&
           len >= (size_t)(head_end + 4 - text) + body;
}

/* Read to the end of the answer: its length, or the end of the stream. */
static enum status
read_answer(int fd, char **ret_text)
{
    size_t cap = 65536, len = 0;
    char *text = malloc(cap);
    enum status st = text ? ST_OK : ST_NOMEM;

    while (st == ST_OK) {
        ssize_t n;

        if (len + 1 == cap) {
            char *more = cap < ANSWER_LIMIT ? realloc(text, 2 * cap) : NULL;

            if (!more) {
                st = ST_TOO_LARGE;
                break;
            }
            text = more;
            cap *= 2;
        }
        n = recv(fd, text + len, cap - len - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = errno == EAGAIN ? ST_TIMEOUT : ST_IO;
        if (n <= 0)
            break;
        len += (size_t)n;
        text[len] = '\0';
        if (is_complete(text, len))
            break;
    }
    if (st != ST_OK) {
        free(text);
        return st;
    }
    text[len] = '\0';
    *ret_text = text;
    return ST_OK;
}

void
client_make_printable(json_t *body)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_string(body)) {
        char *text = strdup(json_string_value(body));

        if (text) {
            text_make_printable(text);
            json_string_set(body, text);
        }
        free(text);
    }
    json_array_foreach(body, i, value)
    {
        client_make_printable(value);
    }
    json_object_foreach(body, key, value)
    {
        client_make_printable(value);
    }
}

static enum status
parse_answer(const char *text, struct client_answer *ret)
{
    const char *body = strstr(text, "\r\n\r\n");
    int code = 0;

    if (!body || sscanf(text, "HTTP/1.%*c %3d", &code) != 1)
        return ST_MALFORMED;
    ret->body = json_loads(body + 4, JSON_DECODE_ANY, NULL);
    ret->code = code;
    return ret->body ? ST_OK : ST_MALFORMED;
}

enum status
client_ask(const char *socket, const char *method, const char *path, json_t *body,
           struct client_answer *ret, struct why *why)
{
    char *sent = body ? json_dumps(body, JSON_COMPACT) : NULL;
    char *text = NULL;
    int fd = -1;
    enum status st = connect_to(socket, &fd, why);

    if (st != ST_OK) {
        free(sent);
        return st;
    }
    st = send_request(fd, method, path, sent ? sent : "");
    if (st == ST_OK)
        st = read_answer(fd, &text);
    if (st == ST_OK)
        st = parse_answer(text, ret);
    if (st != ST_OK)
        why_set(why, st, "the daemon on %.120s: %s", socket, status_text(st));
    close(fd);
    free(text);
    free(sent);
    return st;
}

bool
client_escape(const char *text, char *out, size_t out_bytes)
{
    size_t used = 0;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (used + 4 > out_bytes)
            return false;
        if (isalnum(c) || strchr("-._~", c))
            out[used++] = (char)c;
        else
            used += (size_t)snprintf(out + used, 4, "%%%02X", c);
    }
    out[used] = '\0';
    return true;
}
