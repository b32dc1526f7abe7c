#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/domain.h"
#include "gateway/sip/service.h"

static enum status
aor_of(const char *text, char out[AOR_BYTES])
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    url_t *url = url_hdup(home, URL_STRING_MAKE(text)->us_url);
    enum status st = url ? sip_aor_of(url, out) : ST_MALFORMED;

    su_home_deinit(home);
    return st;
}

START_TEST(aors_are_what_bindings_are_keyed_by)
{
    char aor[AOR_BYTES] = "";

    ck_assert_int_eq(aor_of("sip:Alice@Site.PASTRY:5070;transport=tcp", aor), ST_OK);
    ck_assert_str_eq(aor, "Alice@site.pastry");
    ck_assert_int_eq(aor_of("sips:a%6cice@pastry.", aor), ST_OK);
    ck_assert_str_eq(aor, "alice@pastry");
    /* RFC 4475 section 3.1.1.3 and 3.1.1.4 */
    ck_assert_int_eq(aor_of("sip:sips%3Auser%40example.com@example.net", aor), ST_OK);
    ck_assert_str_eq(aor, "sips:user@example.com@example.net");
}
END_TEST

START_TEST(what_is_no_aor_is_refused)
{
    char aor[AOR_BYTES] = "kept";
    char longest[600];

    ck_assert_int_ne(aor_of("sip:example.com", aor), ST_OK);
    ck_assert_int_ne(aor_of("tel:+123", aor), ST_OK);
    /* RFC 4475 section 3.1.1.4, refused here: no control character is in an AOR */
    ck_assert_int_eq(aor_of("sip:null-%00-null@example.com", aor), ST_MALFORMED);
    ck_assert_int_eq(aor_of("sip:a%0D%0AX-Evil:%20yes@example.com", aor), ST_MALFORMED);
    ck_assert_int_eq(aor_of("sip:a%7f@example.com", aor), ST_MALFORMED);
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "sip:", 4);
    memcpy(longest + 500, "@pastry", 8);
    ck_assert_int_eq(aor_of(longest, aor), ST_TOO_LARGE);
    ck_assert_str_eq(aor, "kept");
}
END_TEST

START_TEST(domains_are_compared_by_whole_labels)
{
    struct sip *s = calloc(1, sizeof(*s));

    memcpy(s->conf.overlay, "pastry", sizeof("pastry"));
    ck_assert(sip_domain_is_local(s, "pastry"));
    ck_assert(sip_domain_is_local(s, "Site.PASTRY"));
    ck_assert(sip_domain_is_local(s, "a.b.pastry."));
    ck_assert(!sip_domain_is_local(s, "mypastry"));
    ck_assert(!sip_domain_is_local(s, "pastry.example"));
    ck_assert(!sip_domain_is_local(s, ""));
    ck_assert(!sip_domain_is_local(s, NULL));
    free(s);
}
END_TEST

/* Longer names that are other overlays', and what is inside them, are not ours. */
START_TEST(the_longest_name_counts)
{
    static const char *const name[] = {"bupt.pastry", "a.lab.pastry"};
    struct sip *s = calloc(1, sizeof(*s));
    struct bridge_message *m = bridge_new(BRIDGE_NAMES, 0, 2, OVERLAY_NAME_BYTES);
    char warning[DOMAIN_WARNING_BYTES];

    memcpy(s->conf.overlay, "pastry", sizeof("pastry"));
    s->domains = domains_new(s);
    for (size_t i = 0; i < 2; i++)
        memcpy(m->foreign[i], name[i], strlen(name[i]) + 1);
    domain_on_names(s, m);
    ck_assert(sip_domain_is_local(s, "pastry"));
    ck_assert(sip_domain_is_local(s, "lab.pastry"));
    ck_assert(sip_domain_is_local(s, "xbupt.pastry"));
    ck_assert(!sip_domain_is_local(s, "BUPT.pastry."));
    ck_assert(!sip_domain_is_local(s, "s.bupt.pastry"));
    ck_assert(!sip_domain_is_local(s, "a.lab.pastry"));
    ck_assert_str_eq(domain_foreign(s, "x.a.lab.pastry"), "a.lab.pastry");
    ck_assert(domain_warning(s, "s.bupt.pastry", warning));
    ck_assert_ptr_nonnull(strstr(warning, "\"bupt.pastry is another overlay\""));
    ck_assert(!domain_warning(s, "lab.pastry", warning));
    m->count = 0;
    domain_on_names(s, m);
    ck_assert(sip_domain_is_local(s, "bupt.pastry"));
    bridge_free(m);
    domains_free(s->domains);
    free(s);
}
END_TEST

START_TEST(identifiers_are_new_each_time)
{
    char seen[64][SIP_BRANCH_BYTES];

    for (unsigned i = 0; i < 64; i++) {
        sip_branch(seen[i]);
        ck_assert_int_eq(strncmp(seen[i], "z9hG4bK", 7), 0);
        ck_assert_uint_eq(strlen(seen[i]), 27);
        for (unsigned k = 0; k < i; k++)
            ck_assert_str_ne(seen[i], seen[k]);
    }
}
END_TEST

int
main(void)
{
    TCase *tc = tcase_create("names");
    Suite *suite = suite_create("sip names");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, aors_are_what_bindings_are_keyed_by);
    tcase_add_test(tc, what_is_no_aor_is_refused);
    tcase_add_test(tc, domains_are_compared_by_whole_labels);
    tcase_add_test(tc, the_longest_name_counts);
    tcase_add_test(tc, identifiers_are_new_each_time);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
