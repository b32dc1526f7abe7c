#include "local-overlays/pastry/body.h"

#include <assert.h>
#include <string.h>

unsigned
pastry_row(const struct id *whose, const struct id *node)
{
    return id_common_bits(whose, node) / PASTRY_DIGIT_BITS;
}

struct id
pastry_nth(struct slice nodes, size_t index)
{
    struct id node;

    assert((index + 1) * ID_BYTES <= nodes.len);
    memcpy(node.bytes, nodes.data + index * ID_BYTES, ID_BYTES);
    return node;
}

bool
pastry_is_listed(struct slice nodes, const struct id *node)
{
    for (size_t at = 0; at + ID_BYTES <= nodes.len; at += ID_BYTES)
        if (memcmp(nodes.data + at, node->bytes, ID_BYTES) == 0)
            return true;
    return false;
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* Node-IDs behind a u16 length: whole ones, at most @most, none of them zero or the wildcard. */
static struct slice
read_nodes(struct reader *r, size_t most)
{
    struct slice list = reader_opaque(r, 2);
    struct reader nodes;

    if (list.len % ID_BYTES || list.len / ID_BYTES > most)
        reader_fail(r);
    reader_init(&nodes, list);
    while (!r->failed && reader_left(&nodes) > 0) {
        struct id node = reader_id(&nodes);
        if (id_is_zero(&node) || id_is_wildcard(&node))
            reader_fail(r);
    }
    return list;
}

static struct pastry_leaves
read_leaves(struct reader *r)
{
    struct pastry_leaves leaves;

    leaves.smaller = read_nodes(r, PASTRY_SIDE_MAX);
    leaves.larger = read_nodes(r, PASTRY_SIDE_MAX);
    return leaves;
}

static void
write_leaves(struct writer *w, const struct pastry_leaves *leaves)
{
    writer_opaque(w, leaves->smaller, 2);
    writer_opaque(w, leaves->larger, 2);
}

/* Away from @whose, each farther than the one before. */
static bool
is_side_in_order(struct slice side, bool is_larger, const struct id *whose)
{
    struct id last = {{0}};

    for (size_t i = 0; i < pastry_count(side); i++) {
        struct id node = pastry_nth(side, i);
        struct id gap = is_larger ? id_subtract(&node, whose) : id_subtract(whose, &node);
        if (id_compare(&gap, &last) <= 0)
            return false;
        last = gap;
    }
    return true;
}

/* With less than 8 on a side the two sides meet: each is the other in reverse. */
static bool
is_mirrored(const struct pastry_leaves *leaves)
{
    size_t count = pastry_count(leaves->smaller);

    for (size_t i = 0; i < count; i++) {
        struct id smaller = pastry_nth(leaves->smaller, i);
        struct id larger = pastry_nth(leaves->larger, count - 1 - i);
        if (!id_equal(&smaller, &larger))
            return false;
    }
    return true;
}

static enum status
check_leaves(const struct pastry_leaves *leaves, const struct id *whose, struct why *why)
{
    if (leaves->smaller.len != leaves->larger.len)
        return why_set(why, ST_FORBIDDEN, "a leaf set with unequal sides");
    if (!is_side_in_order(leaves->smaller, false, whose) ||
        !is_side_in_order(leaves->larger, true, whose))
        return why_set(why, ST_FORBIDDEN, "a leaf set that is not in order");
    if (pastry_count(leaves->smaller) < PASTRY_SIDE_MAX && !is_mirrored(leaves))
        return why_set(why, ST_FORBIDDEN, "a leaf set that has gaps");
    return ST_OK;
}

/* In order of slots, so that each has one entry at most. */
static enum status
check_rows(struct slice rows, const struct id *whose, struct why *why)
{
    unsigned next = 0;

    for (size_t i = 0; i < pastry_count(rows); i++) {
        struct id node = pastry_nth(rows, i);
        unsigned row = pastry_row(whose, &node);
        unsigned slot;

        if (row == PASTRY_ROWS)
            return why_set(why, ST_FORBIDDEN, "a routing table that names its owner");
        slot = row * PASTRY_COLUMNS + id_digit(&node, row, PASTRY_DIGIT_BITS);
        if (slot < next)
            return why_set(why, ST_FORBIDDEN, "a routing table that is not in order");
        next = slot + 1;
    }
    return ST_OK;
}

static enum status
check_near(struct slice near, const struct id *whose, struct why *why)
{
    for (size_t i = 0; i < pastry_count(near); i++) {
        struct id node = pastry_nth(near, i);
        if (id_equal(&node, whose) || pastry_is_listed(slice_of(near.data, i * ID_BYTES), &node))
            return why_set(why, ST_FORBIDDEN, "a neighbourhood set that names a node twice");
    }
    return ST_OK;
}

static enum status
end(const struct reader *r, struct why *why)
{
    return reader_is_done(r) ? ST_OK : why_set(why, ST_MALFORMED, "malformed Pastry data");
}

/* ---- Update --------------------------------------------------------------------------------- */

enum status
pastry_update_read(struct slice in, const struct id *whose, struct pastry_update *ret,
                   struct why *why)
{
    struct pastry_update u = {0};
    struct reader r;
    enum status st;

    reader_init(&r, in);
    u.type = reader_u8(&r);
    if (u.type < PASTRY_READY || u.type > PASTRY_ADMITTED)
        reader_fail(&r);
    if (u.type >= PASTRY_LEAVES)
        u.leaves = read_leaves(&r);
    if (u.type == PASTRY_STATE)
        u.rows = read_nodes(&r, PASTRY_ROWS * (PASTRY_COLUMNS - 1));
    st = end(&r, why);
    if (st == ST_OK)
        st = check_leaves(&u.leaves, whose, why);
    if (st == ST_OK)
        st = check_rows(u.rows, whose, why);
    if (st == ST_OK)
        *ret = u;
    return st;
}

void
pastry_update_write(struct writer *w, const struct pastry_update *u)
{
    writer_u8(w, u->type);
    if (u->type >= PASTRY_LEAVES)
        write_leaves(w, &u->leaves);
    if (u->type == PASTRY_STATE)
        writer_opaque(w, u->rows, 2);
}

/* ---- RouteQuery ----------------------------------------------------------------------------- */

enum status
pastry_query_read(struct slice in, struct pastry_query *ret, struct why *why)
{
    struct pastry_query q;
    struct reader r;

    reader_init(&r, in);
    q.wants = reader_u8(&r);
    q.first_row = reader_u8(&r);
    q.row_count = reader_u8(&r);
    if (q.wants > PASTRY_WANT_ALL || q.first_row + q.row_count > PASTRY_ROWS)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret = q;
    return end(&r, why);
}

void
pastry_query_write(struct writer *w, const struct pastry_query *q)
{
    writer_u8(w, q->wants);
    writer_u8(w, q->first_row);
    writer_u8(w, q->row_count);
}

enum status
pastry_query_ans_read(struct slice in, const struct id *whose, struct pastry_query_ans *ret,
                      struct why *why)
{
    struct pastry_query_ans a;
    struct reader r;
    enum status st;

    reader_init(&r, in);
    a.next = reader_id(&r);
    a.verdict = reader_u8(&r);
    if (id_is_zero(&a.next) || a.verdict < PASTRY_GO_ON || a.verdict > PASTRY_BUSY)
        reader_fail(&r);
    a.leaves = read_leaves(&r);
    a.rows = read_nodes(&r, PASTRY_ROWS * (PASTRY_COLUMNS - 1));
    a.near = read_nodes(&r, PASTRY_NEAR_MAX);
    st = end(&r, why);
    if (st == ST_OK && (a.verdict == PASTRY_GO_ON) == id_equal(&a.next, whose))
        st = why_set(why, ST_FORBIDDEN, "a next hop that contradicts its verdict");
    if (st == ST_OK)
        st = check_leaves(&a.leaves, whose, why);
    if (st == ST_OK)
        st = check_rows(a.rows, whose, why);
    if (st == ST_OK)
        st = check_near(a.near, whose, why);
    if (st == ST_OK)
        *ret = a;
    return st;
}

void
pastry_query_ans_write(struct writer *w, const struct pastry_query_ans *a)
{
    writer_id(w, &a->next);
    writer_u8(w, a->verdict);
    write_leaves(w, &a->leaves);
    writer_opaque(w, a->rows, 2);
    writer_opaque(w, a->near, 2);
}

/* ---- Join, Leave ---------------------------------------------------------------------------- */

enum status
pastry_join_read(struct slice in, enum pastry_join_role *ret, struct why *why)
{
    struct reader r;
    uint8_t role;

    reader_init(&r, in);
    role = reader_u8(&r);
    if (role != PASTRY_ADMIT && role != PASTRY_HAND_OVER)
        reader_fail(&r);
    if (reader_is_done(&r))
        *ret = (enum pastry_join_role)role;
    return end(&r, why);
}

void
pastry_join_write(struct writer *w, enum pastry_join_role role)
{
    writer_u8(w, (uint8_t)role);
}

enum status
pastry_leave_read(struct slice in, const struct id *whose, struct pastry_leaves *ret,
                  struct why *why)
{
    struct pastry_leaves leaves;
    struct reader r;
    enum status st;

    reader_init(&r, in);
    leaves = read_leaves(&r);
    st = end(&r, why);
    if (st == ST_OK)
        st = check_leaves(&leaves, whose, why);
    if (st == ST_OK)
        *ret = leaves;
    return st;
}

void
pastry_leave_write(struct writer *w, const struct pastry_leaves *leaves)
{
    write_leaves(w, leaves);
}
