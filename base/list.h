/**
 * DOC: intrusive doubly linked list
 *
 * An object holds a struct list_node; a list head is one too.  list_entry() goes back from the node
 * to the object.  A node that is in no list points to itself, so removing twice does no harm.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next;
    struct list_node *prev;
};

static inline void
list_init(struct list_node *n)
{
    n->next = n;
    n->prev = n;
}

static inline bool
list_is_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void
list_insert_before(struct list_node *at, struct list_node *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void
list_append(struct list_node *head, struct list_node *n)
{
    list_insert_before(head, n);
}

static inline void
list_prepend(struct list_node *head, struct list_node *n)
{
    list_insert_before(head->next, n);
}

static inline void
list_remove(struct list_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/** list_each - walk a list; the body may remove @at (and only @at). */
#define list_each(at, head)                                                                        \
    for (struct list_node *at = (head)->next, *at##_next = at->next; at != (head);                 \
         at = at##_next, at##_next = at->next)

#endif
