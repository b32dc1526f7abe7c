#include "global-overlay/nested.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/list.h"

/** A domain that somebody asked about. */
struct domain {
    char name[OVERLAY_NAME_BYTES]; /* "": the place is free */
    enum names_verdict verdict;
    bool is_judged;     /* the verdict is one */
    uint32_t token;     /* of the question under way; 0: none is */
    uint64_t asked_ms;  /* when it was put */
    uint64_t judged_ms; /* when it ended */
    uint64_t used_ms;   /* when somebody wanted to know last */
    bool is_used_again; /* not for the first time */
    unsigned waiters;
};

/** Somebody who waits. */
struct waiter {
    struct list_node link;
    struct domain *domain;
    uint64_t until_ms;
    bool is_patient;
    struct nested_judged done;
};

struct nested {
    struct nested_conf conf;
    struct nested_env env;
    uint32_t last_token;
    struct domain domain[NESTED_DOMAINS_MAX];
    size_t domain_top;  /* all from there on are free */
    size_t asked_count; /* domains that are unknown and asked for */
    struct list_node waiters;
    size_t waiter_count;
    struct nested_name foreign[NESTED_FOREIGN_MAX];
    size_t foreign_count;
    uint64_t look_ms; /* when the next look is due */
};

void
nested_conf_defaults(struct nested_conf *conf)
{
    *conf = (struct nested_conf){.kept_s = 7 * 86400,
                                 .live_s = 600,
                                 .fresh_ms = 5000,
                                 .unsure_ms = 500,
                                 .again_ms = 100,
                                 .wait_ms = 250,
                                 .lost_ms = 4000,
                                 .used_ms = 600000,
                                 .used_once_ms = 30000,
                                 .look_ms = 60000,
                                 .max_asked = 32,
                                 .max_waiting = 1024};
}

enum status
nested_new(const struct nested_conf *conf, const struct nested_env *env, struct nested **ret)
{
    struct nested *n = calloc(1, sizeof(*n));

    if (!n)
        return ST_NOMEM;
    n->conf = *conf;
    n->env = *env;
    list_init(&n->waiters);
    *ret = n;
    return ST_OK;
}

/* ---- names -------------------------------------------------------------------------------------
 */

/* Is @domain @name, or inside it by whole labels? */
static bool
is_in(const char *domain, const char *name)
{
    size_t len = strlen(domain);
    size_t name_len = strlen(name);

    return len >= name_len && strcasecmp(domain + len - name_len, name) == 0 &&
           (len == name_len || domain[len - name_len - 1] == '.');
}

bool
nested_may_be(const char *overlay, const char *domain)
{
    return strlen(domain) > strlen(overlay) && strlen(domain) < OVERLAY_NAME_BYTES &&
           is_in(domain, overlay);
}

const char *
nested_foreign(const struct nested *n, const char *domain)
{
    const char *best = NULL;

    for (size_t i = 0; i < n->foreign_count; i++)
        if (is_in(domain, n->foreign[i].name) &&
            (!best || strlen(n->foreign[i].name) > strlen(best)))
            best = n->foreign[i].name;
    return best;
}

static struct nested_name *
find_foreign(struct nested *n, const char *name)
{
    for (size_t i = 0; i < n->foreign_count; i++)
        if (strcasecmp(n->foreign[i].name, name) == 0)
            return &n->foreign[i];
    return NULL;
}

/* A free place, or that of the name whose last entry is oldest and that does not live. */
static struct nested_name *
place_of_name(struct nested *n, struct moment now)
{
    struct nested_name *oldest = NULL;

    if (n->foreign_count < NESTED_FOREIGN_MAX)
        return &n->foreign[n->foreign_count++];
    for (size_t i = 0; i < n->foreign_count; i++)
        if (!n->foreign[i].is_configured &&
            (!oldest || n->foreign[i].seen_wall_ms < oldest->seen_wall_ms))
            oldest = &n->foreign[i];
    if (!oldest || oldest->seen_wall_ms + n->conf.live_s * 1000ULL > now.wall_ms)
        return NULL;
    log_to(&n->env.log, LOG_LEVEL_WARN, "names: %s makes room for another overlay inside %s",
           oldest->name, n->conf.overlay);
    return oldest;
}

static void
copy_name(const char *name, char ret[OVERLAY_NAME_BYTES])
{
    size_t len = strlen(name);

    for (size_t i = 0; i <= len; i++)
        ret[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
}

static void tell_all(struct nested *n, struct moment now);

void
nested_hear(struct nested *n, struct moment now, const char *name, uint64_t age_s)
{
    uint64_t seen_ms = age_s * 1000 < now.wall_ms ? now.wall_ms - age_s * 1000 : 0;
    struct nested_name *f;

    if (!nested_may_be(n->conf.overlay, name) || age_s >= n->conf.kept_s)
        return;
    f = find_foreign(n, name);
    if (f) {
        if (seen_ms > f->seen_wall_ms) {
            f->seen_wall_ms = seen_ms;
            n->env.changed(n->env.ctx, false);
        }
        return;
    }
    f = place_of_name(n, now);
    if (!f) {
        log_to(&n->env.log, LOG_LEVEL_REMOTE,
               "names: more than %d overlays inside %s: %s is not kept", NESTED_FOREIGN_MAX,
               n->conf.overlay, name);
        return;
    }
    *f = (struct nested_name){.seen_wall_ms = seen_ms};
    copy_name(name, f->name);
    log_to(&n->env.log, LOG_LEVEL_INFO,
           "names: %s is another overlay: its users are not those of %s", f->name, n->conf.overlay);
    n->env.changed(n->env.ctx, true);
    tell_all(n, now);
}

void
nested_configure(struct nested *n, const char *name)
{
    struct nested_name *f = find_foreign(n, name);

    if (!f && nested_may_be(n->conf.overlay, name) && n->foreign_count < NESTED_FOREIGN_MAX) {
        f = &n->foreign[n->foreign_count++];
        *f = (struct nested_name){.seen_wall_ms = 0};
        copy_name(name, f->name);
    }
    if (f)
        f->is_configured = true;
}

static bool
is_over(const struct nested *n, const struct nested_name *f, struct moment now)
{
    return !f->is_configured && f->seen_wall_ms + n->conf.kept_s * 1000ULL <= now.wall_ms;
}

static void
expire_names(struct nested *n, struct moment now)
{
    bool is_changed = false;

    for (size_t i = n->foreign_count; i > 0; i--) {
        struct nested_name *f = &n->foreign[i - 1];
        if (!is_over(n, f, now))
            continue;
        log_to(&n->env.log, LOG_LEVEL_INFO,
               "names: %s had no entry for %u s: its users are %s's again", f->name, n->conf.kept_s,
               n->conf.overlay);
        *f = n->foreign[--n->foreign_count];
        is_changed = true;
    }
    if (is_changed)
        n->env.changed(n->env.ctx, true);
}

void
nested_look(struct nested *n, struct moment now)
{
    n->look_ms = now.mono_ms + n->conf.look_ms;
    n->env.look(n->env.ctx);
}

/* ---- domains -----------------------------------------------------------------------------------
 */

static bool
is_known(const struct domain *d)
{
    return d->is_judged && d->verdict == NAMES_OURS;
}

static void
set_asked(struct nested *n, struct domain *d, uint32_t token)
{
    bool was = d->token != 0;

    d->token = token;
    if (!is_known(d))
        n->asked_count += (size_t)(token != 0) - (size_t)was;
}

static void
ask(struct nested *n, struct moment now, struct domain *d)
{
    if (d->token != 0)
        return;
    if (++n->last_token == 0)
        n->last_token = 1;
    d->asked_ms = now.mono_ms;
    set_asked(n, d, n->last_token);
    n->env.ask(n->env.ctx, d->token, d->name);
}

static struct domain *
find_domain(struct nested *n, const char *name)
{
    for (size_t i = 0; i < n->domain_top; i++)
        if (strcasecmp(n->domain[i].name, name) == 0)
            return &n->domain[i];
    return NULL;
}

/* Does @a make room before @b? */
static bool
is_worth_less(const struct domain *a, const struct domain *b)
{
    if (a->is_used_again != b->is_used_again)
        return b->is_used_again;
    return a->used_ms < b->used_ms;
}

static struct domain *
place_of_domain(struct nested *n)
{
    struct domain *least = NULL;

    for (size_t i = 0; i < n->domain_top; i++) {
        struct domain *d = &n->domain[i];
        if (d->name[0] == '\0')
            return d;
        if (d->waiters == 0 && d->token == 0 && (!least || is_worth_less(d, least)))
            least = d;
    }
    return n->domain_top < NESTED_DOMAINS_MAX ? &n->domain[n->domain_top++] : least;
}

static void
end_waiter(struct nested *n, struct moment now, struct waiter *w, enum names_verdict verdict,
           const char *name)
{
    struct nested_judged done = w->done;

    w->domain->waiters--;
    list_remove(&w->link);
    n->waiter_count--;
    free(w);
    done.done(done.ctx, now, verdict, name);
}

/* Who waits for a domain that is foreign by now hears so. */
static void
tell_all(struct nested *n, struct moment now)
{
    bool is_told = true;

    while (is_told) { /* done() may change the list */
        is_told = false;
        list_each(at, &n->waiters)
        {
            struct waiter *w = list_entry(at, struct waiter, link);
            const char *name = nested_foreign(n, w->domain->name);
            if (!name)
                continue;
            end_waiter(n, now, w, NAMES_FOREIGN, name);
            is_told = true;
            break;
        }
    }
}

static void
tell(struct nested *n, struct moment now, const struct domain *d, bool with_patient)
{
    bool is_told = true;

    while (is_told) {
        is_told = false;
        list_each(at, &n->waiters)
        {
            struct waiter *w = list_entry(at, struct waiter, link);
            if (w->domain != d || (w->is_patient && !with_patient))
                continue;
            end_waiter(n, now, w, d->verdict, "");
            is_told = true;
            break;
        }
    }
}

static bool
wait_for(struct nested *n, struct moment now, struct domain *d, uint32_t patience_ms,
         const struct nested_judged *done)
{
    struct waiter *w = n->waiter_count < n->conf.max_waiting ? malloc(sizeof(*w)) : NULL;

    if (!w)
        return false;
    *w = (struct waiter){.domain = d,
                         .until_ms = now.mono_ms + n->conf.wait_ms + patience_ms,
                         .is_patient = patience_ms > 0,
                         .done = *done};
    list_append(&n->waiters, &w->link);
    n->waiter_count++;
    d->waiters++;
    return true;
}

static void
use(struct domain *d, uint64_t now_ms)
{
    d->is_used_again = d->is_used_again || d->used_ms < now_ms;
    d->used_ms = now_ms;
}

void
nested_judge(struct nested *n, struct moment now, const char *domain, uint32_t patience_ms,
             const struct nested_judged *done)
{
    const char *name = nested_foreign(n, domain);
    struct domain *d = NULL;

    if (name || !nested_may_be(n->conf.overlay, domain)) {
        done->done(done->ctx, now, name ? NAMES_FOREIGN : NAMES_OURS, name ? name : "");
        return;
    }
    d = find_domain(n, domain);
    if (!d && n->asked_count < n->conf.max_asked && (d = place_of_domain(n))) {
        *d = (struct domain){.used_ms = now.mono_ms};
        copy_name(domain, d->name);
    } else if (d) {
        use(d, now.mono_ms);
    }
    if (d && is_known(d))
        done->done(done->ctx, now, NAMES_OURS, "");
    else if (!d || !wait_for(n, now, d, patience_ms, done))
        done->done(done->ctx, now, NAMES_UNSURE, "");
    else
        ask(n, now, d);
}

void
nested_on_verdict(struct nested *n, struct moment now, uint32_t token, enum names_verdict verdict)
{
    struct domain *d = NULL;

    for (size_t i = 0; token != 0 && i < n->domain_top; i++)
        if (n->domain[i].token == token)
            d = &n->domain[i];
    if (!d)
        return;
    set_asked(n, d, 0);
    d->judged_ms = now.mono_ms;
    if (nested_foreign(n, d->name)) {
        tell_all(n, now);
        if (d->waiters == 0)
            d->name[0] = '\0';
        return;
    }
    if (verdict == NAMES_FOREIGN) /* of a name that there was no room for */
        verdict = NAMES_OURS;
    if (!is_known(d)) {
        d->verdict = verdict;
        d->is_judged = true;
    }
    tell(n, now, d, d->verdict != NAMES_UNSURE);
}

/* ---- time --------------------------------------------------------------------------------------
 */

/* Until when is it worth a question? */
static uint64_t
domain_last_ms(const struct nested *n, const struct domain *d)
{
    return d->used_ms + (d->is_used_again ? n->conf.used_ms : n->conf.used_once_ms);
}

/* When is something to be done about it? */
static uint64_t
domain_due_ms(const struct nested *n, const struct domain *d)
{
    uint64_t last_ms = domain_last_ms(n, d);
    uint64_t at_ms;

    if (d->name[0] == '\0')
        return MOMENT_NEVER;
    if (d->token != 0)
        return d->asked_ms + n->conf.lost_ms;
    if (d->waiters > 0)
        return d->judged_ms + n->conf.again_ms;
    at_ms = d->judged_ms + (d->verdict == NAMES_UNSURE ? n->conf.unsure_ms : n->conf.fresh_ms);
    return at_ms < last_ms ? at_ms : last_ms;
}

static void
run_domain(struct nested *n, struct moment now, struct domain *d)
{
    if (domain_due_ms(n, d) > now.mono_ms)
        return;
    if (d->token != 0)
        nested_on_verdict(n, now, d->token, NAMES_UNSURE);
    else if (d->waiters == 0 && (now.mono_ms >= domain_last_ms(n, d) || nested_foreign(n, d->name)))
        d->name[0] = '\0';
    else
        ask(n, now, d);
}

static void
end_waits(struct nested *n, struct moment now)
{
    bool is_told = true;

    while (is_told) {
        is_told = false;
        list_each(at, &n->waiters)
        {
            struct waiter *w = list_entry(at, struct waiter, link);
            if (w->until_ms > now.mono_ms)
                continue;
            end_waiter(n, now, w, NAMES_UNSURE, "");
            is_told = true;
            break;
        }
    }
}

void
nested_tick(struct nested *n, struct moment now)
{
    expire_names(n, now);
    end_waits(n, now);
    for (size_t i = 0; i < n->domain_top; i++)
        run_domain(n, now, &n->domain[i]);
    while (n->domain_top > 0 && n->domain[n->domain_top - 1].name[0] == '\0')
        n->domain_top--;
    if (n->look_ms <= now.mono_ms)
        nested_look(n, now);
}

uint64_t
nested_deadline_ms(const struct nested *n)
{
    uint64_t at_ms = n->look_ms;

    for (size_t i = 0; i < n->domain_top; i++)
        at_ms = moment_earlier_ms(at_ms, domain_due_ms(n, &n->domain[i]));
    list_each(at, &n->waiters) at_ms =
        moment_earlier_ms(at_ms, list_entry(at, struct waiter, link)->until_ms);
    return at_ms;
}

void
nested_free(struct nested *n, struct moment now)
{
    if (!n)
        return;
    while (!list_is_empty(&n->waiters))
        end_waiter(n, now, list_entry(n->waiters.next, struct waiter, link), NAMES_UNSURE, "");
    free(n);
}

/* ---- what may be looked at ---------------------------------------------------------------------
 */

const struct nested_name *
nested_names(const struct nested *n, size_t *ret_count)
{
    *ret_count = n->foreign_count;
    return n->foreign;
}

size_t
nested_domain_count(const struct nested *n)
{
    size_t count = 0;

    for (size_t i = 0; i < n->domain_top; i++)
        count += n->domain[i].name[0] != '\0';
    return count;
}
