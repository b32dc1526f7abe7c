#include "gateway/bridge/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct bridge_queue {
    pthread_mutex_t lock;
    struct list_node waiting;
    int fd;
    bool is_signalled; /* the eventfd is readable: no need to write again */
};

enum status
bridge_queue_new(struct bridge_queue **ret_queue, struct why *why)
{
    struct bridge_queue *q = calloc(1, sizeof(*q));

    if (!q)
        return ST_NOMEM;
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->fd < 0) {
        free(q);
        return why_set(why, ST_IO, "eventfd: %s", strerror(errno));
    }
    pthread_mutex_init(&q->lock, NULL);
    list_init(&q->waiting);
    *ret_queue = q;
    return ST_OK;
}

void
bridge_queue_free(struct bridge_queue *q)
{
    if (!q)
        return;
    list_each(at, &q->waiting) bridge_free(list_entry(at, struct bridge_message, link));
    close(q->fd);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

int
bridge_queue_fd(const struct bridge_queue *q)
{
    return q->fd;
}

void
bridge_queue_post(struct bridge_queue *q, struct bridge_message *m)
{
    const uint64_t one = 1;

    pthread_mutex_lock(&q->lock);
    list_append(&q->waiting, &m->link);
    if (!q->is_signalled) {
        /* Cannot fail: the counter is 0 and the descriptor ours. */
        q->is_signalled = write(q->fd, &one, sizeof(one)) == (ssize_t)sizeof(one);
    }
    pthread_mutex_unlock(&q->lock);
}

struct bridge_message *
bridge_queue_take(struct bridge_queue *q)
{
    struct bridge_message *m = NULL;
    uint64_t count;

    pthread_mutex_lock(&q->lock);
    if (!list_is_empty(&q->waiting)) {
        m = list_entry(q->waiting.next, struct bridge_message, link);
        list_remove(&m->link);
    } else if (q->is_signalled) {
        q->is_signalled = read(q->fd, &count, sizeof(count)) != (ssize_t)sizeof(count);
    }
    pthread_mutex_unlock(&q->lock);
    return m;
}
