#include "config/config.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/scan.h"
#include "config/value.h"

#define FILE_LIMIT (1u << 20)

/** One reading of a file. */
struct reading {
    struct config config;
    struct mistakes mistakes;
    struct scan scan;
    /* libconfuse's picture of the schema: every value is text, so that it stops at none */
    cfg_opt_t option[SECTIONS][OPTION_MAX + SECTIONS + 1];
};

/* ---- libconfuse -------------------------------------------------------------------------------
 */

/* libconfuse hands its user nothing but cfg; a reading stands on one thread. */
static _Thread_local struct reading *current;

static void
on_confuse_error(cfg_t *cfg, const char *format, va_list args)
{
    char text[256];

    vsnprintf(text, sizeof(text), format, args);
    mistake_add(&current->mistakes, cfg->line, SECTION_TOP, "", "%s", text);
}

static void
build_options(struct reading *r)
{
    size_t count[SECTIONS] = {0};
    const cfg_opt_t end = CFG_END();

    for (size_t i = 0; i < schema_count; i++) {
        const struct option *o = &schema[i];
        const cfg_opt_t text = CFG_STR(o->name, NULL, CFGF_NODEFAULT);
        const cfg_opt_t list = CFG_STR_LIST(o->name, NULL, CFGF_NODEFAULT);

        r->option[o->section][count[o->section]++] = o->is_list ? list : text;
    }
    for (enum section s = SECTION_NODE; s < SECTIONS; s++) {
        const struct section_rule *rule = &section_rule[s];
        const cfg_opt_t section =
            CFG_SEC(rule->name, r->option[s], CFGF_MULTI | (rule->title ? CFGF_TITLE : 0));

        r->option[s][count[s]] = end;
        r->option[SECTION_TOP][count[SECTION_TOP]++] = section;
    }
    r->option[SECTION_TOP][count[SECTION_TOP]] = end;
}

static void
take_option(struct reading *r, cfg_t *in, const struct option *o)
{
    int line = r->scan.option_line[o - schema];
    unsigned count = line > 0 ? cfg_size(in, o->name) : 0;

    if (o->is_list && o->refused == NULL && count > CONFIG_LIST_MAX)
        mistake_add(&r->mistakes, line, o->section, o->name,
                    "found %u values, allowed are up to %d", count, CONFIG_LIST_MAX);
    for (unsigned i = 0; i < count; i++) {
        const char *value = cfg_getnstr(in, o->name, i);

        if (value)
            value_set(&r->config, o, value, line, &r->mistakes);
        if (o->refused && strcmp(o->refused, "*") == 0)
            break; /* said once, not for each of its values */
    }
}

static void
take_title(struct reading *r, cfg_t *in, enum section s, char *out, size_t out_bytes)
{
    const char *title = cfg_title(in);

    if (!title || title[0] == '\0' || strlen(title) >= out_bytes)
        mistake_add(&r->mistakes, r->scan.section_line[s], s, "",
                    "found a name of %zu bytes, allowed are 1 to %zu", title ? strlen(title) : 0,
                    out_bytes - 1);
    else
        snprintf(out, out_bytes, "%s", title);
}

static void
take_section(struct reading *r, cfg_t *top, enum section s)
{
    const struct section_rule *rule = &section_rule[s];
    cfg_t *in = top;

    if (s != SECTION_TOP)
        in = cfg_size(top, rule->name) > 0 ? cfg_getnsec(top, rule->name, 0) : NULL;
    if (!in)
        return;
    if (s == SECTION_NODE)
        take_title(r, in, s, r->config.node.name, sizeof(r->config.node.name));
    if (s == SECTION_LOCAL)
        take_title(r, in, s, r->config.local.name, sizeof(r->config.local.name));
    if (s == SECTION_GLOBAL)
        take_title(r, in, s, r->config.global.name, sizeof(r->config.global.name));
    for (size_t i = 0; i < schema_count; i++)
        if (schema[i].section == s)
            take_option(r, in, &schema[i]);
}

/* Let libconfuse read what the scanner found well formed. */
static enum status
take_values(struct reading *r)
{
    cfg_t *top;
    int result;

    build_options(r);
    top = cfg_init(r->option[SECTION_TOP], CFGF_NONE);
    if (!top)
        return ST_NOMEM;
    current = r;
    cfg_set_error_function(top, on_confuse_error);
    result = cfg_parse_buf(top, (const char *)r->scan.clean.data);
    current = NULL;
    if (result == CFG_SUCCESS)
        for (enum section s = SECTION_TOP; s < SECTIONS; s++)
            take_section(r, top, s);
    else if (r->mistakes.count == 0)
        mistake_add(&r->mistakes, 1, SECTION_TOP, "", "found a file that cannot be read");
    cfg_free(top);
    return ST_OK;
}

/* ---- defaults ---------------------------------------------------------------------------------
 */

static void
set_defaults(struct reading *r)
{
    for (size_t i = 0; i < schema_count; i++)
        if (schema[i].initial)
            value_set(&r->config, &schema[i], schema[i].initial, 1, &r->mistakes);
}

/* Where a node listens for SIP unless told otherwise: the usual ports of its address. */
static void
set_sip_defaults(struct config *c)
{
    struct endpoint e;
    char host[ENDPOINT_IP_BYTES + 2];

    if (endpoint_parse(c->node.address, false, &e) != ST_OK)
        return;
    snprintf(host, sizeof(host), strchr(e.ip, ':') ? "[%s]" : "%s", e.ip);
    if (c->sip.listen.count == 0) {
        c->sip.listen.count = 2;
        snprintf(c->sip.listen.item[0], CONFIG_TEXT_BYTES, "udp:%s:5060", host);
        snprintf(c->sip.listen.item[1], CONFIG_TEXT_BYTES, "tcp:%s:5060", host);
    }
    if (c->sip.peer_listen[0] == '\0')
        snprintf(c->sip.peer_listen, sizeof(c->sip.peer_listen), "tls:%s:5062", host);
    if (c->sip.gateway_listen[0] == '\0' && c->global.is_set)
        snprintf(c->sip.gateway_listen, sizeof(c->sip.gateway_listen), "tls:%s:5061", host);
}

static void
note_overlays(struct reading *r)
{
    r->config.local.is_set = r->scan.section_line[SECTION_LOCAL] > 0;
    r->config.local.line = r->scan.section_line[SECTION_LOCAL];
    r->config.global.is_set = r->scan.section_line[SECTION_GLOBAL] > 0;
    r->config.global.line = r->scan.section_line[SECTION_GLOBAL];
    snprintf(r->config.global.algorithm, sizeof(r->config.global.algorithm), "chord");
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static enum status
read_file(const char *file, char **ret_text, struct why *why)
{
    enum status st = ST_IO;
    char *text = malloc(FILE_LIMIT + 1);
    FILE *in = text ? fopen(file, "re") : NULL;
    size_t len = 0;

    if (!text)
        return why_set(why, ST_NOMEM, "%s", status_text(ST_NOMEM));
    if (in)
        len = fread(text, 1, FILE_LIMIT + 1, in);
    if (!in || ferror(in))
        why_set(why, st, "%s", strerror(errno));
    else if (len > FILE_LIMIT)
        why_set(why, st, "found more than %u bytes, allowed are %u", FILE_LIMIT, FILE_LIMIT);
    else if (memchr(text, '\0', len))
        why_set(why, st, "found a zero byte, allowed is text");
    else
        st = ST_OK;
    if (in)
        fclose(in);
    if (st != ST_OK) {
        free(text);
        return st;
    }
    text[len] = '\0';
    *ret_text = text;
    return ST_OK;
}

static enum status
read_text(struct reading *r, const char *text)
{
    const struct lines lines = {r->scan.section_line, r->scan.option_line};
    enum status st;

    set_defaults(r);
    st = scan_text(&r->scan, text, &r->mistakes);
    if (st == ST_OK)
        st = take_values(r);
    scan_done(&r->scan);
    if (st != ST_OK)
        return st;
    note_overlays(r);
    set_sip_defaults(&r->config);
    value_check_all(&r->config, &lines, &r->mistakes);
    return r->mistakes.count > 0 ? ST_CONFIG : ST_OK;
}

static void
tell(void (*on_mistake)(void *ctx, const char *line), void *ctx, const char *file, const char *text)
{
    char line[CONFIG_TEXT_BYTES + 2 + sizeof(struct why)];

    snprintf(line, sizeof(line), "%.255s: %s", file, text);
    on_mistake(ctx, line);
}

enum status
config_load(const char *file, void (*on_mistake)(void *ctx, const char *line), void *ctx,
            struct config *ret)
{
    struct why why = {""};
    char *text = NULL;
    enum status st = read_file(file, &text, &why);
    struct reading *r;

    if (st != ST_OK) {
        tell(on_mistake, ctx, file, why.text);
        return st;
    }
    r = calloc(1, sizeof(*r));
    st = r ? ST_OK : ST_NOMEM;
    if (st == ST_OK) {
        r->mistakes.file = file;
        snprintf(r->config.file, sizeof(r->config.file), "%s", file);
        st = read_text(r, text);
        mistakes_tell(&r->mistakes, on_mistake, ctx);
    }
    if (st == ST_OK)
        *ret = r->config;
    else if (st != ST_CONFIG)
        tell(on_mistake, ctx, file, status_text(st));
    free(r);
    free(text);
    return st;
}
