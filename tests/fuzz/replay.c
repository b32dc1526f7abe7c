/*
 * replay - the fuzz targets without a fuzzer
 *
 *   replay                    all groups over their examples, whole, cut short and mutated; the
 * same inputs each time replay GROUP FILE...      one group over files, as a fuzzer left them
 *   replay --seeds FOLDER     write the examples to FOLDER/GROUP/N, for a fuzzer to begin with
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "peer-protocol/message/frame.h"
#include "tests/conformance/samples.h"
#include "tests/fuzz/fuzz.h"

#define MUTATIONS      64  /* for each example */
#define CUTS           200 /* for each example: evenly spread lengths */
#define EXAMPLE_BYTES  70000
#define PATH_BYTES     512
#define ENVELOPE_BYTES 3  /* subtype and version of a private request */
#define SELECTORS      34 /* at least as many as a group has decoders */

struct group;
typedef void (*on_example)(void *ctx, const struct group *g, struct slice example);

struct group {
    const char *name;
    int (*run)(const uint8_t *data, size_t len);
    void (*examples)(const struct group *g, on_example each, void *ctx);
};

static void
each_message(const struct group *g, on_example each, void *ctx)
{
    struct writer w;

    writer_init(&w, EXAMPLE_BYTES);
    for (size_t i = 0; i < sample_count; i++) {
        writer_reset(&w);
        sample_message(&samples[i], &w);
        each(ctx, g, writer_slice(&w));
    }
    writer_done(&w);
}

/* Every body is tried as every other, too: a peer may send anything under any code. */
static void
each_body_as(const struct group *g, on_example each, void *ctx, void (*body)(struct writer *w),
             bool is_private)
{
    struct writer w;

    writer_init(&w, EXAMPLE_BYTES);
    for (uint8_t selector = 0; selector < SELECTORS; selector++) {
        writer_reset(&w);
        writer_u8(&w, selector);
        body(&w);
        each(ctx, g, writer_slice(&w));
        if (!is_private || w.len < 1 + ENVELOPE_BYTES)
            continue;
        memmove(w.data + 1, w.data + 1 + ENVELOPE_BYTES, w.len - 1 - ENVELOPE_BYTES);
        each(ctx, g, slice_of(w.data, w.len - ENVELOPE_BYTES));
    }
    writer_done(&w);
}

static void
each_body(const struct group *g, on_example each, void *ctx)
{
    for (size_t i = 0; i < sample_count; i++)
        if (samples[i].code != MESSAGE_EXP_A_REQ && samples[i].code != MESSAGE_EXP_A_ANS)
            each_body_as(g, each, ctx, samples[i].body, false);
}

static void
each_private(const struct group *g, on_example each, void *ctx)
{
    static void (*const records[])(struct writer * w) = {
        sample_binding_record, sample_gateway_record, sample_candidate_record, sample_in_progress,
        sample_algorithm_extension};

    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        each_body_as(g, each, ctx, records[i], false);
    for (size_t i = 0; i < sample_count; i++)
        if (samples[i].code == MESSAGE_EXP_A_REQ || samples[i].code == MESSAGE_EXP_A_ANS)
            each_body_as(g, each, ctx, samples[i].body, true);
}

static void
each_frame(const struct group *g, on_example each, void *ctx)
{
    struct writer w, message;

    writer_init(&w, EXAMPLE_BYTES);
    writer_init(&message, EXAMPLE_BYTES);
    for (size_t i = 0; i + 1 < sample_count; i++) {
        writer_reset(&w);
        writer_reset(&message);
        sample_message(&samples[i], &message);
        frame_write_data(&w, (uint32_t)i, writer_slice(&message));
        frame_write_ack(&w, (uint32_t)i, 0x6);
        frame_write_data(&w, (uint32_t)i + 1, writer_slice(&message));
        each(ctx, g, writer_slice(&w));
    }
    writer_done(&w);
    writer_done(&message);
}

static void
append_fragment(void *ctx, struct slice fragment)
{
    writer_opaque(ctx, fragment, 2);
}

static void
each_fragmented(const struct group *g, on_example each, void *ctx)
{
    struct writer w, message;

    writer_init(&w, EXAMPLE_BYTES);
    writer_init(&message, EXAMPLE_BYTES);
    for (size_t i = 0; i < sample_count; i++) {
        writer_reset(&message);
        sample_message(&samples[i], &message);
        writer_reset(&w);
        writer_u16(&w, (uint16_t)(i * 7));
        writer_bytes(&w, writer_slice(&message));
        each(ctx, g, writer_slice(&w));
        writer_reset(&w);
        if (fragment_split(writer_slice(&message), 400, append_fragment, &w) == ST_OK)
            each(ctx, g, writer_slice(&w));
    }
    writer_done(&w);
    writer_done(&message);
}

static void
each_uri(const struct group *g, on_example each, void *ctx)
{
    static const char *const uris[] = {
        "sip:alice@site.east",
        "<sip:+49;ext=5@Site.EAST:5070;transport=tcp>",
        "sip:joe%20b:secret@east.?Subject=x",
        "sip:joe%3Bx%40y@[2001:db8::1]:5060;lr",
        "sips:%e2%82%ac%c3%bc!~*'()&=+$,;?/@a-b.c_d",
        "sip:a%0D%0AX-Evil:%20yes@east",
        "sip:%00%7f%25%zz%4@east",
        "\xe2\x80\xae gpj.exe \x1b[31m \xc2\x9b \xff \"\\\n",
    };

    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++)
        each(ctx, g, slice_text(uris[i]));
}

static const struct group groups[] = {
    {"message", fuzz_message, each_message},
    {"bodies", fuzz_bodies, each_body},
    {"frames", fuzz_frames, each_frame},
    {"private", fuzz_private, each_private},
    {"reassembly", fuzz_reassembly, each_fragmented},
    {"aor", fuzz_aor, each_uri},
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

/* ---- inputs made of an example --------------------------------------------------------------- */

struct replay {
    uint64_t random;
    size_t inputs;
};

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* On a block of its own size, so that a sanitizer sees the first byte too many. */
static void
run_copy(struct replay *p, const struct group *g, struct slice input)
{
    struct slice copy;

    fuzz_must(slice_copy(input, &copy) == ST_OK);
    g->run(copy.data, copy.len);
    slice_free(&copy);
    p->inputs++;
}

static void
mutate(struct replay *p, uint8_t *data, size_t len)
{
    static const uint8_t likely[] = {0, 1, 0x7f, 0x80, 0xff, 16, 38, 2};
    size_t count = 1 + next_random(&p->random) % 4;

    for (size_t i = 0; i < count; i++) {
        uint64_t r = next_random(&p->random);
        uint8_t *at = &data[(r >> 16) % len];
        if (r & 1)
            *at ^= (uint8_t)(1u << (r >> 8 & 7));
        else
            *at = likely[r >> 8 & 7];
    }
}

static void
replay_example(void *ctx, const struct group *g, struct slice example)
{
    struct replay *p = ctx;
    size_t step = example.len / CUTS + 1;

    run_copy(p, g, example);
    for (size_t len = 0; len < example.len; len += step)
        run_copy(p, g, slice_of(example.data, len));
    if (example.len == 0)
        return;
    for (size_t i = 0; i < MUTATIONS; i++) {
        struct slice copy;
        fuzz_must(slice_copy(example, &copy) == ST_OK);
        mutate(p, (uint8_t *)(uintptr_t)copy.data, copy.len);
        g->run(copy.data, copy.len);
        slice_free(&copy);
        p->inputs++;
    }
}

static int
replay_all(void)
{
    for (size_t i = 0; i < GROUPS; i++) {
        struct replay p = {.random = 0x9e3779b97f4a7c15};
        groups[i].examples(&groups[i], replay_example, &p);
        printf("%-10s %zu inputs\n", groups[i].name, p.inputs);
        (void)fflush(stdout);
    }
    printf("%zu passed, 0 failed\n", GROUPS);
    return EXIT_SUCCESS;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int
replay_file(const struct group *g, const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *in = fopen(path, "rb");

    if (!in) {
        perror(path);
        return EXIT_FAILURE;
    }
    size_t len = fread(bytes, 1, sizeof(bytes), in);
    (void)fclose(in);
    run_copy(&(struct replay){0}, g, slice_of(bytes, len));
    printf("%s: passed\n", path);
    return EXIT_SUCCESS;
}

struct seeds {
    const char *folder;
    size_t count;
};

static void
write_seed(void *ctx, const struct group *g, struct slice example)
{
    struct seeds *s = ctx;
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "%s/%s/%zu", s->folder, g->name, s->count++);
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(example.data, 1, example.len, out) != example.len) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    (void)fclose(out);
}

static int
write_seeds(const char *folder)
{
    char path[PATH_BYTES];

    (void)mkdir(folder, 0777);
    for (size_t i = 0; i < GROUPS; i++) {
        struct seeds s = {folder, 0};
        (void)snprintf(path, sizeof(path), "%s/%s", folder, groups[i].name);
        (void)mkdir(path, 0777);
        groups[i].examples(&groups[i], write_seed, &s);
    }
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    if (argc == 1)
        return replay_all();
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        return write_seeds(argv[2]);
    for (size_t i = 0; i < GROUPS; i++) {
        int result = EXIT_SUCCESS;
        if (strcmp(groups[i].name, argv[1]) != 0)
            continue;
        for (int file = 2; file < argc && result == EXIT_SUCCESS; file++)
            result = replay_file(&groups[i], argv[file]);
        return result;
    }
    (void)fprintf(stderr, "replay: no group '%s'\n", argv[1]);
    return 2;
}
