/* AORs: what is read out of a URI and written into one reads as the same; and text of others on its
 * way to people. */
#include <string.h>

#include "base/aor.h"
#include "base/text.h"
#include "tests/fuzz/fuzz.h"

#define AOR_BYTES  256
#define TEXT_BYTES 4096

static void
check_aor(struct slice in)
{
    char aor[AOR_BYTES], again[AOR_BYTES], uri[AOR_URI_BYTES(AOR_BYTES)];

    if (aor_of_uri(in, aor, sizeof(aor)) != ST_OK)
        return;
    fuzz_must(aor_to_uri(aor, uri, sizeof(uri)) == ST_OK);
    for (const char *c = uri; *c; c++) /* nothing that could end a header field or a URI */
        fuzz_must(*c > 0x20 && *c < 0x7f && !strchr("<>\"\\^`{}|", *c));
    fuzz_must(aor_of_uri(slice_text(uri), again, sizeof(again)) == ST_OK);
    fuzz_must(strcmp(aor, again) == 0);
}

static void
check_text(struct slice in)
{
    char text[TEXT_BYTES], label[2 * TEXT_BYTES];
    size_t len = in.len < sizeof(text) ? in.len : sizeof(text) - 1;

    memcpy(text, in.data, len);
    text[len] = '\0';
    text_label(text, label, sizeof(label));
    fuzz_must(text_is_printable(label));
    text_make_printable(text);
    fuzz_must(text_is_printable(text) && strlen(text) <= len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    check_aor(slice_of(data, len));
    check_text(slice_of(data, len));
    return 0;
}
