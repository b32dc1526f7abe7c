/* messages - print one correct example of every message, a line each: name, code, bytes in hex. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/conformance/samples.h"

int
main(void)
{
    struct writer w;

    writer_init(&w, MESSAGE_MAX_BYTES);
    for (size_t i = 0; i < sample_count; i++) {
        struct message m;
        struct why why = {""};
        writer_reset(&w);
        sample_message(&samples[i], &w);
        if (w.failed != ST_OK || message_decode(writer_slice(&w), &m, &why) != ST_OK) {
            (void)fprintf(stderr, "messages: %s: %s %s\n", samples[i].name, status_text(w.failed),
                          why.text);
            return EXIT_FAILURE;
        }
        printf("%s %u ", samples[i].name, samples[i].code);
        for (size_t at = 0; at < w.len; at++)
            printf("%02x", w.data[at]);
        printf("\n");
    }
    writer_done(&w);
    return EXIT_SUCCESS;
}
