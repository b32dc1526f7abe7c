#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"

#define FILE_NAME "test_config.conf" /* in a folder of its own, see setup() */
#define TOLD_MAX  128

static char told[TOLD_MAX][1200];
static size_t told_count;
static struct config config;
static char start[512]; /* where the tests were started: the top of the tree */
static char folder[] = "/tmp/test_config.XXXXXX";

static void
on_mistake(void *ctx, const char *line)
{
    (void)ctx;
    ck_assert_uint_lt(told_count, TOLD_MAX);
    snprintf(told[told_count++], sizeof(told[0]), "%s", line);
}

static void
setup(void)
{
    ck_assert_ptr_nonnull(getcwd(start, sizeof(start)));
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void
teardown(void)
{
    unlink(FILE_NAME);
    ck_assert_int_eq(chdir("/"), 0);
    rmdir(folder);
}

static enum status
load(const char *text)
{
    FILE *out = fopen(FILE_NAME, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(text, out), 0);
    ck_assert_int_eq(fclose(out), 0);
    told_count = 0;
    memset(&config, 0, sizeof(config));
    return config_load(FILE_NAME, on_mistake, NULL, &config);
}

/* Told line @index is "file:" and exactly @text. */
static void
expect_told(size_t index, const char *text)
{
    char line[1300];

    ck_assert_uint_lt(index, told_count);
    snprintf(line, sizeof(line), FILE_NAME ":%s", text);
    ck_assert_str_eq(told[index], line);
}

/* The file is refused with exactly one line, this one. */
static void
expect_only(const char *text, const char *mistake)
{
    ck_assert_int_eq(load(text), ST_CONFIG);
    for (size_t i = 1; i < told_count; i++)
        ck_abort_msg("also told: %s", told[i]);
    expect_told(0, mistake);
}

#define NODE  "node \"n\" { address = \"127.1.0.1\" }\n"
#define LOCAL "local-overlay \"pastry\" { listen = \"127.1.0.1:6084\" credentials = \"/c\" }\n"

START_TEST(the_example_of_the_design_is_read)
{
    const char *text =
        "node \"gw1.bupt\" {\n"
        "  address   = \"127.1.0.1\"            # what other nodes reach\n"
        "  state-dir = \"/var/lib/ringway\"\n"
        "}\n"
        "local-overlay \"pastry\" {\n"
        "  algorithm   = \"pastry\"\n"
        "  listen      = \"127.1.0.1:6084\"\n"
        "  bootstrap   = {\"127.1.0.2:6084\"}   /* the others */\n"
        "  credentials = \"/etc/ringway/pastry\"\n"
        "}\n"
        "global-overlay \"p2psip.global\" {\n"
        "  listen      = \"127.1.0.1:6085\"\n"
        "  bootstrap   = {\"127.2.0.1:6085\"}\n"
        "  credentials = \"/etc/ringway/global\"\n"
        "}\n"
        "election { candidate = true  hello-interval = 100  hello-misses = 3  threshold = 200 }\n"
        "sip      { listen = {\"udp:127.1.0.1:5060\", \"tcp:127.1.0.1:5060\"}\n"
        "           gateway-listen = \"tls:127.1.0.1:5061\"  // other islands' gateways\n"
        "           peer-listen = \"tls:127.1.0.1:5062\"\n"
        "           authentication = \"none\" }\n"
        "control  { socket = \"/run/ringway/control.sock\"  http = \"127.1.0.1:8084\" }\n";

    ck_assert_int_eq(load(text), ST_OK);
    ck_assert_uint_eq(told_count, 0);
    ck_assert_str_eq(config.node.name, "gw1.bupt");
    ck_assert_str_eq(config.node.address, "127.1.0.1");
    ck_assert_str_eq(config.node.state_dir, "/var/lib/ringway");
    ck_assert(config.local.is_set);
    ck_assert_int_eq(config.local.line, 5);
    ck_assert_str_eq(config.local.name, "pastry");
    ck_assert_str_eq(config.local.algorithm, "pastry");
    ck_assert_uint_eq(config.local.bootstrap.count, 1);
    ck_assert_str_eq(config.local.bootstrap.item[0], "127.1.0.2:6084");
    ck_assert_str_eq(config.global.name, "p2psip.global");
    ck_assert_str_eq(config.global.listen, "127.1.0.1:6085");
    ck_assert(config.election.candidate);
    ck_assert_uint_eq(config.election.hello_interval_ms, 100);
    ck_assert_uint_eq(config.sip.listen.count, 2);
    ck_assert_str_eq(config.sip.listen.item[1], "tcp:127.1.0.1:5060");
    ck_assert_str_eq(config.control.http, "127.1.0.1:8084");
}
END_TEST

START_TEST(what_is_not_given_has_a_default)
{
    ck_assert_int_eq(load(NODE LOCAL), ST_OK);
    ck_assert_str_eq(config.log_level, "info");
    ck_assert_str_eq(config.local.algorithm, "chord");
    ck_assert_str_eq(config.local.security, "tls");
    ck_assert_uint_eq(config.local.bootstrap_wait_ms, 2000);
    ck_assert_uint_eq(config.local.reliability_ms, 500);
    ck_assert_uint_eq(config.local.max_links, 512);
    ck_assert(!config.global.is_set);
    ck_assert(config.election.candidate);
    ck_assert_uint_eq(config.election.hello_interval_ms, 100);
    ck_assert_uint_eq(config.election.hello_misses, 3);
    ck_assert_uint_eq(config.election.threshold, 200);
    ck_assert_str_eq(config.election.role, "auto");
    ck_assert_uint_eq(config.election.half_online_s, 3600);
    ck_assert_uint_eq(config.election.gateways, 1);
    ck_assert_uint_eq(config.sip.max_expires_s, 7200);
    ck_assert_uint_eq(config.sip.listen.count, 2);
    ck_assert_str_eq(config.sip.listen.item[0], "udp:127.1.0.1:5060");
    ck_assert_str_eq(config.sip.peer_listen, "tls:127.1.0.1:5062");
    ck_assert_str_eq(config.sip.gateway_listen, "");
    ck_assert_str_eq(config.control.socket, "/run/ringway/control.sock");
    ck_assert_str_eq(config.control.http, "");
}
END_TEST

START_TEST(ports_of_sip_follow_an_ipv6_address)
{
    ck_assert_int_eq(load("node \"n\" { address = \"[::1]:7000\" }\n"
                          "local-overlay \"a.b\" { listen = \"[::1]:7000\" credentials = \"c\" }\n"
                          "global-overlay \"g\" { listen = \"[::1]:7001\" credentials = \"d\" }\n"),
                     ST_OK);
    ck_assert_str_eq(config.sip.listen.item[0], "udp:[::1]:5060");
    ck_assert_str_eq(config.sip.gateway_listen, "tls:[::1]:5061");
}
END_TEST

/* Twenty mistakes of many kinds; each is told, in the order of the lines, in one run. */
START_TEST(twenty_mistakes_are_told_in_one_run)
{
    const char *text =
        "log-level = \"loud\"\n"                                                     /* 1 */
        "nodes \"x\" { address = \"1.2.3.4\" }\n"                                    /* 2 */
        "node {\n"                                                                   /* 3 */
        "  address = \"127.1.0.256\"\n"                                              /* 4 */
        "  state-dir \"/var/lib/ringway\"\n"                                         /* 5 */
        "}\n"                                                                        /* */
        "local-overlay \"Pastry\" {\n"                                               /* 7 */
        "  algorithm = \"PASTRY\" listen = \"127.1.0.1\"\n"                          /* 8, 8 */
        "  bootstrap = {\"127.1.0.2:6084\", \"campus.example\"\n"                    /* 10 */
        "  security = \"none\"\n"                                                    /* 10 */
        "  bootstrap-url = \"http://bootstrap/\"\n"                                  /* 11 */
        "}\n"                                                                        /* 7 */
        "global-overlay \"g\" { listen = \"127.1.0.1:99999\" credentials = \"\" }\n" /* 13, 13 */
        "election { candidate = maybe  hello-interval = fast  helo-misses = 3\n"     /* 14 three */
        "  threshold = 1001 threshold = 5 }\n"                                       /* 15 two */
        "sip {\n"
        "  listen = {\"tls:127.1.0.1:5060\"}\n" /* 17 */
        "  authentication = \"digest\"\n"       /* 18 */
        "  max-calls = {1, 2}\n"                /* 19 */
        "  min-expires =\n"                     /* 20 */
        "}\n"
        "control { socket = \"/run/a }\n" /* 22 */
        "}\n";
    size_t at = 0;

    ck_assert_int_eq(load(text), ST_CONFIG);
    expect_told(at++, "1: log-level: found \"loud\", allowed is one of "
                      "error|warn|remote|info|debug");
    expect_told(at++, "2: nodes: found an unknown option, allowed are log-level, node, "
                      "local-overlay, global-overlay, election, sip, control");
    expect_told(at++, "3: node: found no name, allowed is node \"NODE\" { ... }");
    expect_told(at++, "4: node.address: found \"127.1.0.256\", allowed is IP or IP:PORT, such as "
                      "\"192.0.2.1\" or \"[2001:db8::1]:6084\"");
    expect_told(at++, "5: node.state-dir: found no '=' behind it, allowed is state-dir = VALUE");
    expect_told(at++, "7: local-overlay.credentials: found no value, one is required");
    expect_told(at++, "7: local-overlay: found the name \"Pastry\", allowed is a domain name in "
                      "lower case");
    expect_told(at++, "8: local-overlay.algorithm: found \"PASTRY\", allowed is the name of a "
                      "plug-in, 1 to 15 of a-z 0-9 -");
    expect_told(at++, "8: local-overlay.listen: found \"127.1.0.1\", allowed is IP:PORT, such as "
                      "\"192.0.2.1:6084\"");
    expect_told(at++, "10: local-overlay.bootstrap: found another value in a list, ',' or '}' is "
                      "allowed");
    expect_told(at++, "10: local-overlay.security: found \"none\", not yet supported, allowed is "
                      "one of tls");
    expect_told(at++, "11: local-overlay.bootstrap-url: found \"http://bootstrap/\", not yet "
                      "supported");
    expect_told(at++, "13: global-overlay.listen: found \"127.1.0.1:99999\", allowed is IP:PORT, "
                      "such as \"192.0.2.1:6084\"");
    expect_told(at++, "13: global-overlay.credentials: found \"\", allowed is a path of 1 to 255 "
                      "bytes");
    ck_assert_ptr_nonnull(strstr(told[at++], ":14: election.helo-misses: found an unknown option"));
    expect_told(at++, "14: election.candidate: found \"maybe\", allowed is true or false");
    expect_told(at++, "14: election.hello-interval: found \"fast\", allowed is a number from 10 to "
                      "60000 ms");
    expect_told(at++, "15: election.threshold: found a second time, it is in line 15 already");
    expect_told(at++, "15: election.threshold: found \"1001\", allowed is a number from 0 to 1000");
    expect_told(at++, "17: sip.listen: found \"tls:127.1.0.1:5060\", allowed is TRANSPORT:IP:PORT "
                      "with a transport out of udp|tcp");
    expect_told(at++, "18: sip.authentication: found \"digest\", not yet supported, allowed is one "
                      "of none");
    expect_told(at++, "19: sip.max-calls: found a list, one value is allowed");
    expect_told(at++, "20: sip.min-expires: found nothing behind '=', a value is needed");
    expect_told(at++, "22: control.socket: found a quote without its end, a value ends on its "
                      "line");
    ck_assert_uint_eq(told_count, at);
    ck_assert_uint_ge(told_count, 20);
}
END_TEST

START_TEST(foreign_names_are_inside_ours)
{
    ck_assert_int_eq(load(NODE
                          "local-overlay \"pastry\" { listen = \"127.1.0.1:6084\" credentials = "
                          "\"/c\"\n foreign = {\"bupt.pastry\", \"a.b.pastry\"} }\n"),
                     ST_OK);
    ck_assert_uint_eq(config.local.foreign.count, 2);
    ck_assert_str_eq(config.local.foreign.item[1], "a.b.pastry");
    for (size_t i = 0; i < 4; i++) {
        static const char *const wrong[] = {"pastry", "xpastry", "east", "Bupt.pastry"};
        char text[512], line[256];

        snprintf(text, sizeof(text),
                 NODE "local-overlay \"pastry\" { listen = \"127.1.0.1:6084\" credentials = "
                      "\"/c\"\n foreign = {\"%s\"} }\n",
                 wrong[i]);
        snprintf(line, sizeof(line),
                 "3: local-overlay.foreign: found \"%s\", allowed is a domain name in lower case "
                 "that ends in \".pastry\"",
                 wrong[i]);
        expect_only(text, line);
    }
}
END_TEST

START_TEST(what_is_missing_is_told)
{
    ck_assert_int_eq(load("\n# nothing\n"), ST_CONFIG);
    ck_assert_uint_eq(told_count, 2);
    expect_told(0, "1: node: found no such section, it is required");
    expect_told(1, "1: local-overlay: found no such section, it is required");

    expect_only("node \"n\" {}\n" LOCAL, "1: node.address: found no value, one is required");
}
END_TEST

START_TEST(one_broken_statement_does_not_hide_the_next)
{
    expect_only(NODE LOCAL "election { margin = \n hold-time = 5 }\n",
                "3: election.margin: found nothing behind '=', a value is needed");
    expect_only(NODE LOCAL "election { ( margin = 4 }\n",
                "3: election: found '(', allowed is the name of an option");
    expect_only(NODE LOCAL "}\n", "3: found '}', allowed is the name of an option");
    expect_only(NODE LOCAL "election { margin = 4\n\n",
                "5: election: found the end of the file, '}' is missing for line 3");
    expect_only(NODE LOCAL "/* never ends\n", "3: found a comment without its end, it needs one");
    expect_only(NODE LOCAL "election = true\n",
                "3: election: found no '{' behind it, it is a section");
    expect_only(NODE LOCAL "election { sip { max-calls = 3 } }\n",
                "3: election.sip: found a section inside a section, it stands outside all braces");
    expect_only(NODE LOCAL NODE, "3: node: found a second time, it is in line 1 already");
    expect_only(NODE LOCAL "election { margin += 4 }\n",
                "3: election.margin: found '+=', only lists can be added to");
    expect_only(NODE LOCAL "sip \"x\" { max-calls = 3 }\n",
                "3: sip: found a name, allowed is sip { ... }");
    expect_only(NODE LOCAL "control { socket = \"\\9\" }\n", "3: bad escape sequence '\\9'");
}
END_TEST

START_TEST(what_does_not_fit_together_is_told)
{
    expect_only(
        NODE LOCAL "sip { listen = {\"udp:127.9.9.9:5060\"} }\n",
        "3: sip.listen: found \"udp:127.9.9.9:5060\", allowed is an address that belongs to "
        "node.address, 127.1.0.1");
    expect_only(NODE LOCAL "control { http = \"127.1.0.1:6084\" }\n",
                "3: control.http: found \"127.1.0.1:6084\", it is used by local-overlay.listen in "
                "line 2 already");
    expect_only(NODE LOCAL "sip { listen = {\"udp:127.1.0.1:5060\", \"udp:127.1.0.1:5060\"} }\n",
                "3: sip.listen: found \"udp:127.1.0.1:5060\", it is used by sip.listen in line 3 "
                "already");
    expect_only(NODE LOCAL "sip { min-expires = 600 default-expires = 300 }\n",
                "3: sip.min-expires: found 600 s, allowed is up to default-expires, 300 s");
    expect_only(NODE LOCAL "sip { max-expires = 60 }\n",
                "3: sip.max-expires: found 60 s, allowed is default-expires, 3600 s, or more");
    expect_only(NODE LOCAL "global-overlay \"pastry\" { listen = \"127.1.0.1:1\" "
                           "credentials = \"c\" }\n",
                "3: global-overlay: found the name of the local overlay, allowed is another");
    expect_only(NODE LOCAL "control { socket = "
                           "\"/0123456789012345678901234567890123456789012345678901234567890123456"
                           "7890123456789012345678901234567890123456789\" }\n",
                "3: control.socket: found a path of 111 bytes, allowed are 107");
    expect_only(
        NODE LOCAL "election { hello-interval = 500 hello-interval-max = 400 }\n",
        "3: election.hello-interval-max: found 400 ms, allowed is hello-interval, 500 ms, or "
        "more; 0 is ten times that");
    expect_only(
        NODE LOCAL "election { candidate = false role = \"pinned\" }\n",
        "3: election.role: found \"pinned\" with candidate = false, allowed is one of them");
    expect_only(NODE LOCAL "election { role = \"king\" }\n",
                "3: election.role: found \"king\", allowed is one of auto|pinned|barred");
}
END_TEST

START_TEST(lists_can_be_added_to_and_are_bounded)
{
    char text[4000] = NODE "local-overlay \"p\" { listen = \"127.1.0.1:1\" credentials = \"c\"\n"
                           "bootstrap = {\"127.0.0.1:1\",} bootstrap += {'127.0.0.2:1'}\n"
                           "bootstrap += 127.0.0.3:1 }\n";

    ck_assert_int_eq(load(text), ST_OK);
    ck_assert_uint_eq(config.local.bootstrap.count, 3);
    ck_assert_str_eq(config.local.bootstrap.item[2], "127.0.0.3:1");

    snprintf(text, sizeof(text), "%s",
             NODE "local-overlay \"p\" { listen = \"127.1.0.1:1\" credentials = \"c\"\n"
                  "bootstrap = {\"127.0.0.1:1\"");
    for (int i = 0; i < CONFIG_LIST_MAX; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), ", \"127.0.0.1:%d\"", 100 + i);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "} }\n");
    expect_only(text, "3: local-overlay.bootstrap: found 65 values, allowed are up to 64");
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_told)
{
    told_count = 0;
    ck_assert_int_eq(config_load("/nonexistent/r.conf", on_mistake, NULL, &config), ST_IO);
    ck_assert_uint_eq(told_count, 1);
    ck_assert_str_eq(told[0], "/nonexistent/r.conf: No such file or directory");
    ck_assert_int_eq(config_load("/", on_mistake, NULL, &config), ST_IO);
}
END_TEST

/* Whatever is cut out of a good file, the reader neither crashes nor stays silent about nothing. */
START_TEST(every_truncation_of_a_good_file_is_survived)
{
    const char *text = NODE LOCAL "election { candidate = true margin = 5 } # end\n"
                                  "sip { listen = {\"udp:127.1.0.1:5060\"} } /* c */\n";
    char cut[1000];

    for (size_t len = 0; len <= strlen(text); len++) {
        enum status st;

        snprintf(cut, sizeof(cut), "%.*s", (int)len, text);
        st = load(cut);
        ck_assert(st == ST_OK || (st == ST_CONFIG && told_count > 0));
    }
    ck_assert_int_eq(load(text), ST_OK);
}
END_TEST

/* Bytes of a good file exchanged for those the syntax is made of, always the same ones. */
START_TEST(mutations_of_a_good_file_are_survived)
{
    const char *text = NODE LOCAL "election { candidate = true margin = 5 } # end\n"
                                  "sip { listen = {\"udp:127.1.0.1:5060\"} } /* c */\n";
    const char letters[] = "{}()=+,\"'#/*\\$\n x9";
    uint64_t random = 1;
    char changed[1000];

    for (int round = 0; round < 600; round++) {
        enum status st;

        snprintf(changed, sizeof(changed), "%s", text);
        for (int i = 0; i <= round % 4; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            changed[(random >> 33) % strlen(text)] =
                letters[(random >> 20) % (sizeof(letters) - 1)];
        }
        st = load(changed);
        ck_assert(st == ST_OK || (st == ST_CONFIG && told_count > 0));
    }
}
END_TEST

START_TEST(mistakes_are_told_by_line_and_bounded)
{
    struct mistakes *m = calloc(1, sizeof(*m));

    ck_assert_ptr_nonnull(m);
    m->file = "f";
    mistake_add(m, 2, SECTION_SIP, "", "found b");
    mistake_add(m, 1, SECTION_SIP, "listen", "found a");
    told_count = 0;
    mistakes_tell(m, on_mistake, NULL);
    ck_assert_uint_eq(told_count, 2);
    ck_assert_str_eq(told[0], "f:1: sip.listen: found a");
    ck_assert_str_eq(told[1], "f:2: sip: found b");

    for (int i = 0; i < MISTAKE_MAX + 5; i++)
        mistake_add(m, 10 + i, SECTION_TOP, "x", "found %d", i);
    told_count = 0;
    mistakes_tell(m, on_mistake, NULL);
    ck_assert_uint_eq(told_count, MISTAKE_MAX + 1);
    ck_assert_str_eq(told[MISTAKE_MAX], "f: 7 more mistakes");
    free(m);
}
END_TEST

START_TEST(the_examples_are_good)
{
    char pattern[600];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/config/examples/*.conf", start);
    ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
    ck_assert_uint_ge(found.gl_pathc, 2);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        told_count = 0;
        ck_assert_msg(config_load(found.gl_pathv[i], on_mistake, NULL, &config) == ST_OK, "%s",
                      told[0]);
    }
    globfree(&found);
}
END_TEST

START_TEST(endpoints_are_read_as_they_are_printed)
{
    struct endpoint e;

    ck_assert_int_eq(endpoint_parse("127.0.0.1:80", false, &e), ST_OK);
    ck_assert_str_eq(e.ip, "127.0.0.1");
    ck_assert_uint_eq(e.port, 80);
    ck_assert_int_eq(endpoint_parse("::1", false, &e), ST_OK);
    ck_assert_uint_eq(e.port, 0);
    ck_assert_int_eq(endpoint_parse("udp:[::1]:80", true, &e), ST_OK);
    ck_assert_str_eq(e.transport, "udp");
    ck_assert_str_eq(e.ip, "::1");
    const char *bad[] = {"",
                         "127.0.0.1:",
                         "127.0.0.1:0",
                         "127.0.0.1:080",
                         "127.0.0.01",
                         "[0::1]:5",
                         "[::1]5",
                         "[::1",
                         "a:1",
                         "1.2.3.4:65536",
                         "1.2.3.4:1 ",
                         "1.2.3.4:1:1",
                         "[1.2.3.4]:1",
                         "[",
                         "[]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(endpoint_parse(bad[i], false, &e) != ST_OK, "%s", bad[i]);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("config");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, the_example_of_the_design_is_read);
    tcase_add_test(tc, what_is_not_given_has_a_default);
    tcase_add_test(tc, ports_of_sip_follow_an_ipv6_address);
    tcase_add_test(tc, twenty_mistakes_are_told_in_one_run);
    tcase_add_test(tc, foreign_names_are_inside_ours);
    tcase_add_test(tc, what_is_missing_is_told);
    tcase_add_test(tc, one_broken_statement_does_not_hide_the_next);
    tcase_add_test(tc, what_does_not_fit_together_is_told);
    tcase_add_test(tc, lists_can_be_added_to_and_are_bounded);
    tcase_add_test(tc, a_file_that_cannot_be_read_is_told);
    tcase_add_test(tc, every_truncation_of_a_good_file_is_survived);
    tcase_add_test(tc, mutations_of_a_good_file_are_survived);
    tcase_add_test(tc, mistakes_are_told_by_line_and_bounded);
    tcase_add_test(tc, the_examples_are_good);
    tcase_add_test(tc, endpoints_are_read_as_they_are_printed);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
