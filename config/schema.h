/**
 * DOC: every option of ringway.conf, in one table
 *
 * The table says what an option is called, where its value goes in struct config, what is allowed
 * and what holds where it is not given.  The reader (config.c), the scanner (scan.c) and the checks
 * (value.c) follow it; an option that is not in it does not exist.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum section {
    SECTION_TOP, /* outside all braces */
    SECTION_NODE,
    SECTION_LOCAL,
    SECTION_GLOBAL,
    SECTION_ELECTION,
    SECTION_SIP,
    SECTION_CONTROL,
    SECTIONS
};

struct section_rule {
    const char *name;
    const char *title; /* what its name is: "NODE", "OVERLAY"; NULL if it has none */
    bool is_required;
};
extern const struct section_rule section_rule[SECTIONS];

enum option_type {
    OPTION_NUMBER,   /* uint32_t, min to max */
    OPTION_BOOL,     /* bool */
    OPTION_CHOICE,   /* text out of "a|b|c" */
    OPTION_PLUGIN,   /* text, [a-z0-9-], at most 15 bytes */
    OPTION_TEXT,     /* any text that fits */
    OPTION_PATH,     /* a file or folder, not empty */
    OPTION_ADDRESS,  /* "IP" or "IP:PORT" in the form that is hashed to a Node-ID */
    OPTION_ENDPOINT, /* "IP:PORT" */
    OPTION_SIP       /* "TRANSPORT:IP:PORT", transports out of @allowed */
};

struct option {
    enum section section;
    const char *name;
    enum option_type type;
    bool is_list;        /* the value is a struct config_list */
    bool is_required;    /* where its section is given */
    size_t offset;       /* in struct config */
    size_t bytes;        /* of a text there */
    uint32_t min, max;   /* OPTION_NUMBER */
    const char *unit;    /* OPTION_NUMBER: "ms", "s", "Mbit/s"; "" for a count */
    const char *allowed; /* OPTION_CHOICE, OPTION_SIP */
    const char *initial; /* the value where it is not given; NULL leaves zero */
    const char *refused; /* a value (or "*") that is known but not supported yet; NULL for none */
};

#define OPTION_MAX 80
extern const struct option schema[];
extern const size_t schema_count;

/** schema_section - the section of this name; SECTIONS if there is none. */
enum section schema_section(const char *name);

/** schema_option - an option of a section; NULL if there is none. */
const struct option *schema_option(enum section section, const char *name);

/** schema_names - the names of all that may stand in a section, "a, b, c". */
void schema_names(enum section section, char *out, size_t out_bytes);

/** schema_label - "election.hello-interval"; an option outside all sections has its name alone. */
void schema_label(enum section section, const char *option, char *out, size_t out_bytes);

#endif
