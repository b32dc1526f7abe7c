#include "config/scan.h"

#include <string.h>

#include "config/token.h"

#define NAME_BYTES  64
#define NAMES_BYTES 512
#define CLEAN_LIMIT (4u << 20)

/** Where the walk is. */
struct walk {
    struct scan *scan;
    struct tokens tokens;
    enum section section;
    int clean_line; /* of the clean text */
};

static void
copy(struct walk *w, int line, const char *from, size_t len)
{
    for (; w->clean_line < line; w->clean_line++)
        writer_u8(&w->scan->clean, '\n');
    for (size_t i = 0; i < len; i++)
        w->clean_line += from[i] == '\n';
    writer_bytes(&w->scan->clean, slice_of(from, len));
    writer_u8(&w->scan->clean, ' ');
}

/* Pass over a block whose opening brace was read. */
static void
skip_block(struct walk *w)
{
    for (int depth = 1; depth > 0;) {
        struct token token = token_next(&w->tokens);

        depth += token.type == TOKEN_OPEN;
        depth -= token.type == TOKEN_CLOSE;
        if (token.type == TOKEN_END)
            return;
    }
}

/* Pass over what follows a name that means nothing: a value, a list, a section. */
static void
skip_statement(struct walk *w)
{
    struct token token = token_peek(&w->tokens);
    int line = token.line;

    if (token.type == TOKEN_EQUAL)
        token_next(&w->tokens);
    token = token_peek(&w->tokens);
    if (token.type == TOKEN_WORD && token.line == line) {
        token_next(&w->tokens);
        token = token_peek(&w->tokens);
    }
    if (token.type == TOKEN_OPEN) {
        token_next(&w->tokens);
        skip_block(w);
    }
}

static void
unknown_name(struct walk *w, const struct token *name, const char *text)
{
    char names[NAMES_BYTES];
    enum section elsewhere = schema_section(text);

    schema_names(w->section, names, sizeof(names));
    if (w->section != SECTION_TOP && elsewhere != SECTIONS)
        mistake_add(w->scan->mistakes, name->line, w->section, text,
                    "found a section inside a section, it stands outside all braces");
    else
        mistake_add(w->scan->mistakes, name->line, w->section, text,
                    "found an unknown option, allowed are %s", names);
    skip_statement(w);
}

/* Read "{ a, b }" up to its brace.  False (reported) where it is not well formed. */
static bool
read_list(struct walk *w, const struct option *option)
{
    for (;;) {
        struct token token = token_peek(&w->tokens);

        if (token.type == TOKEN_WORD) {
            token_next(&w->tokens);
            token = token_peek(&w->tokens);
            if (token.type == TOKEN_COMMA) {
                token_next(&w->tokens);
                continue;
            }
        }
        if (token.type == TOKEN_CLOSE) {
            token_next(&w->tokens);
            return true;
        }
        mistake_add(w->scan->mistakes, token.line, option->section, option->name,
                    "found %s in a list, ',' or '}' is allowed",
                    token.type == TOKEN_END        ? "the end of the file"
                    : token.type == TOKEN_WORD     ? "another value"
                    : token.type == TOKEN_UNCLOSED ? "a quote without its end"
                                                   : "an unexpected character");
        if (token.type == TOKEN_UNCLOSED)
            token_next(&w->tokens);
        return false;
    }
}

/* Read what stands behind "name =".  False (reported) where it is not a value for this option. */
static bool
read_value(struct walk *w, const struct option *option, int line)
{
    struct token value = token_peek(&w->tokens);
    struct tokens behind = w->tokens;

    token_next(&behind);
    /* "a =" at the end of a line: the next word is the next option's name. */
    if (value.type == TOKEN_WORD && !value.is_quoted &&
        (value.line == line || token_peek(&behind).type != TOKEN_EQUAL)) {
        token_next(&w->tokens);
        return true;
    }
    if (value.type == TOKEN_WORD && value.is_quoted) {
        token_next(&w->tokens);
        return true;
    }
    if (value.type == TOKEN_OPEN) {
        token_next(&w->tokens);
        if (!read_list(w, option))
            return false;
        if (option->is_list)
            return true;
        mistake_add(w->scan->mistakes, value.line, option->section, option->name,
                    "found a list, one value is allowed");
        return false;
    }
    if (value.type == TOKEN_UNCLOSED) {
        token_next(&w->tokens);
        mistake_add(w->scan->mistakes, value.line, option->section, option->name,
                    "found a quote without its end, a value ends on its line");
        return false;
    }
    mistake_add(w->scan->mistakes, line, option->section, option->name,
                "found nothing behind '=', a value is needed");
    return false;
}

static void
read_option(struct walk *w, const struct token *name, const struct option *option)
{
    struct mistakes *mistakes = w->scan->mistakes;
    int *line = &w->scan->option_line[option - schema];
    struct token equal = token_peek(&w->tokens);
    bool is_good;

    if (equal.type != TOKEN_EQUAL) {
        mistake_add(mistakes, name->line, option->section, option->name,
                    "found no '=' behind it, allowed is %s = VALUE", option->name);
        skip_statement(w);
        return;
    }
    token_next(&w->tokens);
    if (equal.len == 2 && !option->is_list)
        mistake_add(mistakes, name->line, option->section, option->name,
                    "found '+=', only lists can be added to");
    is_good = read_value(w, option, name->line);
    if (*line > 0 && equal.len == 1) {
        mistake_add(mistakes, name->line, option->section, option->name,
                    "found a second time, it is in line %d already", *line);
        return;
    }
    if (*line == 0)
        *line = name->line;
    if (is_good && (equal.len == 1 || option->is_list))
        copy(w, name->line, name->at, (size_t)(w->tokens.next - name->at));
}

/* What stands between a section's name and its brace: reads and copies it. */
static void
read_title(struct walk *w, int line, enum section section)
{
    struct mistakes *mistakes = w->scan->mistakes;
    const struct section_rule *rule = &section_rule[section];
    struct token title = token_peek(&w->tokens);

    copy(w, line, rule->name, strlen(rule->name));
    if (title.type == TOKEN_WORD) {
        token_next(&w->tokens);
        if (rule->title)
            copy(w, line, title.at, title.len);
        else
            mistake_add(mistakes, line, section, "", "found a name, allowed is %s { ... }",
                        rule->name);
    } else if (rule->title) {
        mistake_add(mistakes, line, section, "", "found no name, allowed is %s \"%s\" { ... }",
                    rule->name, rule->title);
        copy(w, line, "x", 1); /* so that what stands in it is checked too */
    }
}

/* Reads up to the opening brace. False where none follows or the section is there already. */
static bool
read_section_head(struct walk *w, int line, enum section section)
{
    struct mistakes *mistakes = w->scan->mistakes;
    int *first_line = &w->scan->section_line[section];
    struct tokens ahead = w->tokens;

    if (token_peek(&ahead).type == TOKEN_WORD)
        token_next(&ahead);
    if (token_next(&ahead).type != TOKEN_OPEN) {
        mistake_add(mistakes, line, section, "", "found no '{' behind it, it is a section");
        skip_statement(w);
        return false;
    }
    if (*first_line > 0) {
        mistake_add(mistakes, line, section, "", "found a second time, it is in line %d already",
                    *first_line);
        w->tokens = ahead;
        skip_block(w);
        return false;
    }
    *first_line = line;
    read_title(w, line, section);
    w->tokens = ahead;
    copy(w, line, "{", 1);
    return true;
}

static void
read_name(struct walk *w, const struct token *name)
{
    const struct option *option;
    enum section section = SECTIONS;
    char text[NAME_BYTES];

    token_text(name, text, sizeof(text));
    option = schema_option(w->section, text);
    if (w->section == SECTION_TOP)
        section = schema_section(text);
    if (option)
        read_option(w, name, option);
    else if (section == SECTIONS)
        unknown_name(w, name, text);
    else if (read_section_head(w, name->line, section))
        w->section = section;
}

static void
close_section(struct walk *w, int line)
{
    copy(w, line, "}", 1);
    w->section = SECTION_TOP;
}

static void
read_all(struct walk *w)
{
    struct mistakes *mistakes = w->scan->mistakes;
    struct token token;
    char text[NAME_BYTES];

    for (;;) {
        token = token_next(&w->tokens);
        token_text(&token, text, sizeof(text));
        text[strcspn(text, "\n")] = '\0';
        if (token.type == TOKEN_END)
            break;
        if (token.type == TOKEN_WORD)
            read_name(w, &token);
        else if (token.type == TOKEN_CLOSE && w->section != SECTION_TOP)
            close_section(w, token.line);
        else if (token.type == TOKEN_UNCLOSED)
            mistake_add(mistakes, token.line, w->section, "",
                        "found %s without its end, it needs one",
                        text[0] == '/' ? "a comment" : "a quote");
        else
            mistake_add(mistakes, token.line, w->section, "",
                        "found '%s', allowed is the name of an option", text);
    }
    if (w->section != SECTION_TOP) {
        mistake_add(mistakes, token.line, w->section, "",
                    "found the end of the file, '}' is missing for line %d",
                    w->scan->section_line[w->section]);
        close_section(w, token.line);
    }
}

enum status
scan_text(struct scan *s, const char *text, struct mistakes *mistakes)
{
    struct walk walk = {.scan = s, .tokens = {text, 1}, .clean_line = 1};

    memset(s, 0, sizeof(*s));
    s->mistakes = mistakes;
    writer_init(&s->clean, CLEAN_LIMIT);
    read_all(&walk);
    writer_u8(&s->clean, '\0');
    return s->clean.failed;
}

void
scan_done(struct scan *s)
{
    writer_done(&s->clean);
}
