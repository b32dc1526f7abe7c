#include <check.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/history/registrations.h"

#define WALL_MS  1700000000000ULL
#define LATER_MS 4000000000000ULL
#define LIMIT    100

static char folder[] = "/tmp/test_registrations.XXXXXX";
static char path[128];
static struct registrations *r;
static unsigned errors;
static char last_error[512];
static const uint8_t run_key[2][REGISTRATIONS_KEY_BYTES] = {{1, 2, 3}, {4, 5, 6}};

static char seen[LIMIT][2][64];
static size_t seen_count;

static void
on_line(void *ctx, enum log_level level, const char *area, const char *text)
{
    (void)ctx;
    (void)area;
    if (level == LOG_LEVEL_ERROR) {
        errors++;
        snprintf(last_error, sizeof(last_error), "%s", text);
    }
}

static void
setup(void)
{
    const struct log_sink sink = {on_line, NULL};

    log_open(&sink, LOG_LEVEL_INFO);
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/%s", folder, REGISTRATIONS_FILE);
}

static void
end(void)
{
    registrations_free(r);
    r = NULL;
}

static void
teardown(void)
{
    static const char *const tail[] = {"", "-wal", "-shm", ".broken"};
    char name[160];

    end();
    for (size_t i = 0; i < sizeof(tail) / sizeof(tail[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, tail[i]);
        unlink(name);
    }
    snprintf(name, sizeof(name), "%s/%s", folder, REGISTRATIONS_KEY_FILE);
    unlink(name);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void
open_at(uint64_t wall_ms, size_t run)
{
    end();
    ck_assert_int_eq(registrations_new(folder, LIMIT, wall_ms, run_key[run], &r), ST_OK);
}

static void
on_row(void *ctx, const char *aor, struct slice value)
{
    (void)ctx;
    ck_assert_uint_lt(seen_count, LIMIT);
    snprintf(seen[seen_count][0], 64, "%s", aor);
    ck_assert_int_eq(slice_to_text(value, seen[seen_count][1], 64), ST_OK);
    seen_count++;
}

static size_t
see(void)
{
    seen_count = 0;
    registrations_each(r, on_row, NULL);
    return seen_count;
}

static void
put(const char *aor, const char *value, uint64_t expires_at_wall_ms)
{
    registrations_put(r, aor, slice_text(value), expires_at_wall_ms);
}

START_TEST(what_was_put_last_is_there_after_a_restart)
{
    open_at(WALL_MS, 0);
    ck_assert(!registrations_had_run(r));
    ck_assert_uint_eq(see(), 0);
    put("a@x", "one", LATER_MS);
    put("b@x", "two", LATER_MS);
    put("a@x", "three", LATER_MS + 1);
    put("c@x", "four", LATER_MS);
    put("c@x", "", 0);
    open_at(WALL_MS, 1);
    ck_assert(registrations_had_run(r));
    ck_assert_mem_eq(registrations_key(r), run_key[0], REGISTRATIONS_KEY_BYTES);
    ck_assert_uint_eq(see(), 2);
    ck_assert_str_eq(seen[0][0], "a@x"); /* what lasts longest comes first */
    ck_assert_str_eq(seen[0][1], "three");
    ck_assert_str_eq(seen[1][1], "two");
    ck_assert_uint_eq(see(), 0);
    put("b@x", "", 0);
    open_at(WALL_MS, 1);
    ck_assert_uint_eq(see(), 1);
    ck_assert_uint_eq(errors, 0);
}
END_TEST

START_TEST(what_is_over_does_not_come_back)
{
    open_at(WALL_MS, 0);
    put("a@x", "one", LATER_MS);
    put("b@x", "two", LATER_MS + 5000);
    open_at(LATER_MS, 0);
    ck_assert_uint_eq(see(), 1);
    ck_assert_str_eq(seen[0][0], "b@x");
}
END_TEST

START_TEST(files_are_private)
{
    char key[160];
    struct stat s;

    open_at(WALL_MS, 0);
    put("a@x", "one", LATER_MS);
    end();
    ck_assert_int_eq(stat(path, &s), 0);
    ck_assert_uint_eq(s.st_mode & 0777, 0600);
    snprintf(key, sizeof(key), "%s/%s", folder, REGISTRATIONS_KEY_FILE);
    ck_assert_int_eq(stat(key, &s), 0);
    ck_assert_uint_eq(s.st_mode & 0777, 0600);
}
END_TEST

START_TEST(a_key_that_was_half_written_is_made_anew)
{
    char key[160];
    FILE *out;

    snprintf(key, sizeof(key), "%s/%s", folder, REGISTRATIONS_KEY_FILE);
    out = fopen(key, "w");
    ck_assert_ptr_nonnull(out);
    fputs("short", out);
    ck_assert_int_eq(fclose(out), 0);
    open_at(WALL_MS, 1);
    ck_assert_mem_eq(registrations_key(r), run_key[1], REGISTRATIONS_KEY_BYTES);
    open_at(WALL_MS, 0);
    ck_assert_mem_eq(registrations_key(r), run_key[1], REGISTRATIONS_KEY_BYTES);
    ck_assert_uint_eq(errors, 0);
}
END_TEST

START_TEST(a_broken_file_is_moved_aside)
{
    FILE *out = fopen(path, "w");

    ck_assert_ptr_nonnull(out);
    for (int i = 0; i < 500; i++)
        fputs("this is no database\n", out);
    ck_assert_int_eq(fclose(out), 0);
    open_at(WALL_MS, 0);
    ck_assert_uint_eq(errors, 1);
    ck_assert_ptr_nonnull(strstr(last_error, "moved aside"));
    put("a@x", "one", LATER_MS);
    open_at(WALL_MS, 0);
    ck_assert_uint_eq(see(), 1);
}
END_TEST

START_TEST(a_place_that_cannot_be_written_costs_nothing_but_a_line)
{
    ck_assert_int_eq(mkdir(path, 0700), 0); /* a folder where the file should be */
    open_at(WALL_MS, 0);
    ck_assert_uint_eq(errors, 1);
    put("a@x", "one", LATER_MS);
    ck_assert_uint_eq(see(), 0);
    end();
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(
        registrations_new("/nonexistent/ringway/state", LIMIT, WALL_MS, run_key[0], &r), ST_OK);
    ck_assert_uint_eq(errors, 2);
    ck_assert_mem_eq(registrations_key(r), run_key[0], REGISTRATIONS_KEY_BYTES);
    put("a@x", "one", LATER_MS);
}
END_TEST

/* More changes than there may be registrations while the disk is busy: the rest is dropped, and
 * nobody waits; what could not be written is written when the disk is there again. */
START_TEST(a_locked_database_holds_nobody_up)
{
    char aor[32];
    sqlite3 *db;

    open_at(WALL_MS, 0);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    for (unsigned i = 0; i < 3 * LIMIT; i++) {
        snprintf(aor, sizeof(aor), "u%u@x", i);
        put(aor, "one", LATER_MS);
    }
    for (int i = 0; i < 100 && errors == 0; i++)
        poll(NULL, 0, 100);
    ck_assert_uint_gt(errors, 0);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
    open_at(WALL_MS, 0);
    ck_assert_uint_eq(see(), LIMIT);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("registrations");
    TCase *tc = tcase_create("registrations");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_was_put_last_is_there_after_a_restart);
    tcase_add_test(tc, what_is_over_does_not_come_back);
    tcase_add_test(tc, files_are_private);
    tcase_add_test(tc, a_key_that_was_half_written_is_made_anew);
    tcase_add_test(tc, a_broken_file_is_moved_aside);
    tcase_add_test(tc, a_place_that_cannot_be_written_costs_nothing_but_a_line);
    tcase_add_test(tc, a_locked_database_holds_nobody_up);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
