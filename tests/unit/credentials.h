/**
 * DOC: certificates for tests, made in a folder under /tmp that goes away again
 */
#ifndef TESTS_UNIT_CREDENTIALS_H
#define TESTS_UNIT_CREDENTIALS_H

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "peer-protocol/identity/authority.h"
#include "peer-protocol/identity/identity.h"

static char credentials_root[] = "/tmp/ringway-test-XXXXXX";

static inline void
credentials_setup(void)
{
    snprintf(credentials_root, sizeof(credentials_root), "/tmp/ringway-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(credentials_root));
}

static inline int
credentials_remove(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
    (void)st;
    (void)what;
    (void)ftw;
    return remove(path);
}

static inline void
credentials_teardown(void)
{
    nftw(credentials_root, credentials_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path of something in the test's folder; two at a time may be in use. */
static inline const char *
credentials_path(const char *name)
{
    static char path[2][128];
    static unsigned turn;

    turn ^= 1;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", credentials_root, name);
    return path[turn];
}

static inline void
credentials_init(const char *authority, const char *overlay)
{
    struct why why = {""};

    ck_assert_msg(authority_init(credentials_path(authority), overlay, 0, &why) == ST_OK, "%s",
                  why.text);
}

static inline void
credentials_issue(const char *authority, const char *address, const char *user, enum key_type key,
                  const char *out)
{
    struct authority_request request = {.address = address, .user = user, .key = key};
    struct why why = {""};

    ck_assert_msg(authority_issue(credentials_path(authority), &request, credentials_path(out),
                                  &why) == ST_OK,
                  "%s", why.text);
}

static inline struct identity *
credentials_load(const char *out, const char *overlay)
{
    struct identity *identity = NULL;
    struct why why = {""};

    ck_assert_msg(identity_load(credentials_path(out), overlay, &identity, &why) == ST_OK, "%s",
                  why.text);
    return identity;
}

#endif
