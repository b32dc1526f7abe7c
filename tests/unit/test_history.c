#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/history/history.h"

#define WALL_MS 1700000000000ULL

static char folder[] = "/tmp/test_history.XXXXXX";
static char path[128];
static struct history *h;
static unsigned errors;
static char last_error[512];
static struct election_transition got[HISTORY_LAST_MAX];

static void
on_line(void *ctx, enum log_level level, const char *area, const char *text)
{
    (void)ctx;
    ck_assert_str_eq(area, "history");
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
    snprintf(path, sizeof(path), "%s/%s", folder, HISTORY_FILE);
}

static void
teardown(void)
{
    static const char *const tail[] = {"", "-wal", "-shm"};
    char name[160];

    history_free(h);
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%s%s", path, tail[i]);
        unlink(name);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

static void
open_at(uint64_t wall_ms)
{
    history_free(h);
    h = NULL;
    ck_assert_int_eq(history_new(folder, wall_ms, &h), ST_OK);
}

static struct election_transition
transition(uint32_t serial)
{
    struct election_transition t = {.serial = serial,
                                    .at_wall_ms = WALL_MS + serial,
                                    .term = serial,
                                    .from = ELECTION_CANDIDATE,
                                    .to = ELECTION_ACTIVE,
                                    .steps = {.gateway = "gw1",
                                              .is_reset = true,
                                              .probes_asked = 2,
                                              .probes_answered = 1,
                                              .silent_ms = 276,
                                              .probe_ms = 24,
                                              .answered_ms = ELECTION_UNKNOWN_MS,
                                              .stored_ms = ELECTION_UNKNOWN_MS,
                                              .ring_ms = ELECTION_UNKNOWN_MS}};

    snprintf(t.reason, sizeof(t.reason), "gw1 silent, time %u", serial);
    return t;
}

static void
put(uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct election_transition t = transition(first + i);
        history_put(h, &t);
    }
}

START_TEST(what_was_put_is_there_after_a_restart)
{
    open_at(WALL_MS);
    put(1, 1);
    struct election_transition t = transition(2);
    history_put(h, &t);
    t.steps.answered_ms = 3; /* the same one, with more steps */
    history_put(h, &t);
    t.steps.ring_ms = 12;
    history_put(h, &t);
    ck_assert_uint_eq(history_last(h, got, HISTORY_LAST_MAX), 2);
    ck_assert_uint_eq(got[1].steps.ring_ms, 12);
    open_at(WALL_MS + 1000);
    put(1, 1); /* serials begin again, and are of another run */
    open_at(WALL_MS + 2000);
    ck_assert_uint_eq(history_last(h, got, HISTORY_LAST_MAX), 3);
    ck_assert_uint_eq(got[0].term, 1);
    ck_assert_uint_eq(got[2].term, 1);
    ck_assert_uint_eq(got[1].at_wall_ms, WALL_MS + 2);
    ck_assert_int_eq(got[1].from, ELECTION_CANDIDATE);
    ck_assert_int_eq(got[1].to, ELECTION_ACTIVE);
    ck_assert_str_eq(got[1].reason, "gw1 silent, time 2");
    ck_assert_str_eq(got[1].steps.gateway, "gw1");
    ck_assert(got[1].steps.is_reset);
    ck_assert_uint_eq(got[1].steps.probes_answered, 1);
    ck_assert_uint_eq(got[1].steps.silent_ms, 276);
    ck_assert_uint_eq(got[1].steps.answered_ms, 3);
    ck_assert_uint_eq(got[1].steps.stored_ms, ELECTION_UNKNOWN_MS);
    ck_assert_uint_eq(got[1].steps.ring_ms, 12);
    ck_assert_uint_eq(history_last(h, got, 1), 1);
    ck_assert_uint_eq(got[0].steps.ring_ms, ELECTION_UNKNOWN_MS); /* the last one */
    ck_assert_uint_eq(errors, 0);
}
END_TEST

static int64_t
ask_file(const char *text)
{
    sqlite3 *db;
    sqlite3_stmt *s;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, text, -1, &s, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return value;
}

START_TEST(only_the_last_are_kept)
{
    uint32_t serial = 1;

    for (int run = 0; run < 12; run++) { /* each is written to the end before the next one */
        open_at(WALL_MS);
        put(serial, 900);
        serial += 900;
    }
    open_at(WALL_MS);
    ck_assert_uint_eq(history_last(h, got, HISTORY_LAST_MAX), HISTORY_LAST_MAX);
    ck_assert_uint_eq(got[HISTORY_LAST_MAX - 1].term, 10800);
    ck_assert_uint_eq(got[0].term, 9801);
    ck_assert_int_eq(ask_file("SELECT count(*) FROM transitions"), HISTORY_ROWS_MAX);
    ck_assert_int_eq(ask_file("SELECT min(term) FROM transitions"), 801);
}
END_TEST

START_TEST(time_away_is_taken_off_the_time_online)
{
    open_at(WALL_MS);
    ck_assert_uint_eq(history_online_before_s(h), 0);
    history_online(h, 1000, WALL_MS + 1000000);
    open_at(WALL_MS + 1300000);
    ck_assert_uint_eq(history_online_before_s(h), 700); /* it was away for 300 s */
    open_at(WALL_MS + 900000);
    ck_assert_uint_eq(history_online_before_s(h), 1000); /* the clock ran back */
    open_at(WALL_MS + 9000000);
    ck_assert_uint_eq(history_online_before_s(h), 0);
}
END_TEST

static void
expect_memory_only(const char *cause)
{
    ck_assert_uint_eq(errors, 1);
    ck_assert_msg(strstr(last_error, cause) != NULL, "%s", last_error);
    put(1, 2);
    history_online(h, 5, WALL_MS);
    ck_assert_uint_eq(history_last(h, got, HISTORY_LAST_MAX), 2);
    ck_assert_uint_eq(got[1].term, 2);
}

static void
expect_begun_anew(const char *cause, off_t old_bytes)
{
    char aside[sizeof(path) + 8];
    struct stat s;

    ck_assert_uint_eq(errors, 1);
    ck_assert_msg(strstr(last_error, cause) != NULL, "%s", last_error);
    snprintf(aside, sizeof(aside), "%s.broken", path);
    ck_assert_int_eq(stat(aside, &s), 0);
    ck_assert_int_eq(s.st_size, old_bytes);
    ck_assert_int_eq(unlink(aside), 0);
    put(1, 2);
    open_at(WALL_MS);
    ck_assert_uint_eq(history_last(h, got, HISTORY_LAST_MAX), 2);
    ck_assert_uint_eq(errors, 1);
}

START_TEST(a_file_that_is_no_database_is_moved_aside)
{
    FILE *out = fopen(path, "w");

    ck_assert_ptr_nonnull(out);
    for (int i = 0; i < 500; i++)
        fputs("this is no database\n", out);
    ck_assert_int_eq(fclose(out), 0);
    open_at(WALL_MS);
    expect_begun_anew("not a database", 10000);
}
END_TEST

START_TEST(a_damaged_database_is_moved_aside)
{
    struct stat s;
    FILE *out;

    open_at(WALL_MS);
    put(1, 200);
    history_free(h);
    h = NULL;
    ck_assert_int_eq(stat(path, &s), 0);
    out = fopen(path, "r+");
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(fseek(out, 4096, SEEK_SET), 0);
    for (int i = 0; i < 4096; i++)
        fputc(0x5a, out);
    ck_assert_int_eq(fclose(out), 0);
    open_at(WALL_MS);
    expect_begun_anew("", s.st_size);
}
END_TEST

START_TEST(a_database_of_a_later_version_is_told)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version = 9", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    open_at(WALL_MS);
    expect_memory_only("later version");
}
END_TEST

START_TEST(a_place_that_cannot_be_written_is_told)
{
    ck_assert_int_eq(mkdir(path, 0700), 0); /* a folder where the file should be */
    open_at(WALL_MS);
    expect_memory_only("unable to open database file");
    history_free(h);
    h = NULL;
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(history_new("/nonexistent/ringway/state", WALL_MS, &h), ST_OK);
    ck_assert_uint_eq(errors, 2);
    ck_assert_ptr_nonnull(strstr(last_error, "No such file"));
}
END_TEST

/* Somebody else holds the database for longer than the worker waits: what is put does not wait. */
START_TEST(a_locked_database_holds_nobody_up)
{
    sqlite3 *db;

    open_at(WALL_MS);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put(1, 3 * HISTORY_QUEUE_MAX); /* more than fits: the rest is dropped */
    ck_assert_uint_eq(history_last(h, got, HISTORY_LAST_MAX), HISTORY_LAST_MAX);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(db);
    history_free(h);
    h = NULL;
    ck_assert_int_gt(ask_file("SELECT count(*) FROM transitions"), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("history");
    TCase *tc = tcase_create("history");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_was_put_is_there_after_a_restart);
    tcase_add_test(tc, only_the_last_are_kept);
    tcase_add_test(tc, time_away_is_taken_off_the_time_online);
    tcase_add_test(tc, a_file_that_is_no_database_is_moved_aside);
    tcase_add_test(tc, a_damaged_database_is_moved_aside);
    tcase_add_test(tc, a_database_of_a_later_version_is_told);
    tcase_add_test(tc, a_place_that_cannot_be_written_is_told);
    tcase_add_test(tc, a_locked_database_holds_nobody_up);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
