/* What outlives this run of the node: of each AOR its record as it lies in the overlay, and for
 * each contact the edge proxies before it.
 *
 *     u8 version, u16 length and record, then for each contact u16 length and path
 */
#include <stdio.h>
#include <string.h>

#include "gateway/sip/location_internal.h"

#define KEPT_VERSION   1
#define KEPT_BYTES_MAX (BINDING_RECORD_BYTES_MAX + BINDING_CONTACTS_MAX * (PHONE_URI_BYTES + 2) + 8)

/* ---- keeping ---- */

static uint64_t
last_expiry(const struct location_entry *e)
{
    uint64_t last_ms = 0;

    for (size_t i = 0; i < e->count; i++)
        if (e->contact[i]->binding.expires_at_wall_ms > last_ms)
            last_ms = e->contact[i]->binding.expires_at_wall_ms;
    for (size_t i = 0; i < e->note_count; i++)
        if (e->note[i].expires_at_wall_ms > last_ms)
            last_ms = e->note[i].expires_at_wall_ms;
    return last_ms;
}

static void
write_kept(const struct location_entry *e, struct writer *w)
{
    struct location_contacts l = {.count = e->count, .note_count = e->note_count};
    struct location_shown shown;
    size_t mark;

    for (size_t i = 0; i < e->count; i++)
        l.item[i] = e->contact[i]; /* borrowed */
    for (size_t i = 0; i < e->note_count; i++)
        l.note[i] = e->note[i];
    location_show(e, &l, &shown);
    writer_u8(w, KEPT_VERSION);
    mark = writer_open(w, 2);
    binding_record_write(w, &shown.record);
    writer_close(w, mark, 2);
    for (size_t i = 0; i < e->count; i++)
        writer_opaque(w, slice_text(e->contact[i]->path ? e->contact[i]->path : ""), 2);
}

void
location_keep(struct location_entry *e)
{
    const struct sip_kept *kept = &e->sip->conf.kept;
    struct writer w;

    if (!kept->put)
        return;
    writer_init(&w, KEPT_BYTES_MAX);
    if (e->count + e->note_count > 0)
        write_kept(e, &w);
    if (w.failed)
        log_write(LOG_LEVEL_WARN, "sip", "%s: not kept over this node's end: %s", e->aor,
                  status_text(w.failed));
    else
        kept->put(kept->ctx, e->aor, writer_slice(&w), last_expiry(e));
    writer_done(&w);
}

/* ---- bringing it back ---- */

/* One contact and its path; false if that cannot be read. */
static bool
restore_contact(struct location_contacts *l, const struct binding_contact *c, struct reader *r,
                uint64_t wall_ms)
{
    struct slice path = reader_opaque(r, 2);
    char text[PHONE_URI_BYTES];
    struct location_contact *made;

    if (r->failed || slice_to_text(path, text, sizeof(text)) != ST_OK)
        return false;
    if (c->is_on_connection || c->expires_at_wall_ms <= wall_ms)
        return true; /* a flow does not outlive the node */
    made = location_contact_new(c, 0, text[0] ? text : NULL);
    if (made)
        l->item[l->count++] = made;
    return made != NULL;
}

static void
restore_notes(struct location_contacts *l, const struct binding_record *b, uint64_t wall_ms)
{
    for (size_t i = 0; i < b->superseded_count; i++) {
        const struct binding_superseded *s = &b->superseded[i];
        struct location_note *n = &l->note[l->note_count];

        if (s->expires_at_wall_ms <= wall_ms)
            continue;
        *n = (struct location_note){.cseq = s->cseq,
                                    .at_wall_ms = s->at_wall_ms,
                                    .expires_at_wall_ms = s->expires_at_wall_ms};
        snprintf(n->token, sizeof(n->token), "%s", s->token);
        snprintf(n->call_id, sizeof(n->call_id), "%s", s->call_id);
        l->note_count++;
    }
}

static bool
restore_entry(struct sip *s, const struct binding_record *b, struct reader *r)
{
    uint64_t wall_ms = sip_moment(s).wall_ms;
    struct location_contacts l = {.count = 0};
    struct location_entry *e = NULL;
    bool is_good = true;

    for (size_t i = 0; is_good && i < b->contact_count; i++)
        is_good = restore_contact(&l, &b->contact[i], r, wall_ms);
    restore_notes(&l, b, wall_ms);
    is_good = is_good && reader_is_done(r) && (e = location_entry_get(s, b->aor)) &&
              location_entry_set(e, &l) == ST_OK;
    if (is_good) /* gone is told as any other removal is; the rest is stored when that can be */
        e->is_unstored = l.count + l.note_count == 0;
    for (size_t i = 0; e && i < l.count; i++)
        if (l.item[i]->binding.expires_at_wall_ms > e->known_until_wall_ms)
            e->known_until_wall_ms = l.item[i]->binding.expires_at_wall_ms;
    while (l.count > 0)
        location_contacts_drop(&l, l.count - 1);
    if (e && !is_good)
        location_entry_next(e); /* to its end */
    return is_good;
}

static void
restore_row(void *to, const char *aor, struct slice value)
{
    struct sip *s = to;
    struct binding_record *b = NULL;
    struct reader r;
    bool is_good;

    reader_init(&r, value);
    is_good = reader_u8(&r) == KEPT_VERSION &&
              binding_record_read(reader_opaque(&r, 2), &b) == ST_OK && strcmp(b->aor, aor) == 0 &&
              restore_entry(s, b, &r);
    if (!is_good)
        log_write(LOG_LEVEL_WARN, "sip", "%s: what was kept of an earlier run cannot be used", aor);
    binding_record_free(b);
}

void
location_restore(struct sip *s)
{
    size_t count;

    if (!s->conf.kept.each)
        return;
    s->conf.kept.each(s->conf.kept.ctx, restore_row, s);
    count = map_count(s->location->entries);
    if (count > 0)
        log_write(LOG_LEVEL_INFO, "sip", "%zu registrations of an earlier run are in force again",
                  count);
}
