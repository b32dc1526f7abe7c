#include "gateway/node/node_lists.h"

#include <string.h>

#include "base/map.h"

enum { LISTS_BYTES_MAX = 8192 };

static const struct node_list *
find(const struct node_lists *l, const struct id *from)
{
    for (size_t i = 0; i < l->count; i++)
        if (id_equal(&l->kept[i].from, from))
            return &l->kept[i];
    return NULL;
}

uint64_t
node_lists_held(const struct node_lists *l, const struct id *from)
{
    const struct node_list *kept = find(l, from);

    return kept ? kept->ans.list : 0;
}

static void
copy_lists(struct hello_ans *to, const struct hello_ans *from)
{
    to->candidate_count = from->candidate_count;
    memcpy(to->candidate, from->candidate, sizeof(to->candidate));
    to->ring_count = from->ring_count;
    memcpy(to->ring, from->ring, sizeof(to->ring));
    to->has_key = from->has_key;
    memcpy(to->key, from->key, sizeof(to->key));
}

static void
keep(struct node_lists *l, const struct id *from, const struct hello_ans *ans)
{
    struct node_list *kept = (struct node_list *)find(l, from);

    if (!kept && l->count < ELECTION_GATEWAYS_MAX)
        kept = &l->kept[l->count++];
    if (!kept) {
        kept = &l->kept[l->next];
        l->next = (l->next + 1) % ELECTION_GATEWAYS_MAX;
    }
    kept->from = *from;
    kept->ans.list = ans->list;
    copy_lists(&kept->ans, ans);
}

/* Where another list came meanwhile than the one we had named, that one is filled in: it is the
 * later of the two, and the next HELLO names it. */
enum status
node_lists_complete(struct node_lists *l, const struct id *from, struct hello_ans *ans)
{
    const struct node_list *kept;

    if (ans->has_list) {
        keep(l, from, ans);
        return ST_OK;
    }
    kept = find(l, from);
    if (!kept)
        return ST_NOT_FOUND;
    copy_lists(ans, &kept->ans);
    return ST_OK;
}

void
node_lists_number(uint64_t seed, uint64_t held, struct hello_ans *ans)
{
    struct writer w;

    writer_init(&w, LISTS_BYTES_MAX);
    hello_lists_write(&w, ans);
    ans->list = w.failed == ST_OK ? map_hash(seed, writer_slice(&w)) : 0;
    ans->has_list = ans->list == 0 || ans->list != held;
    writer_done(&w);
}
