/**
 * DOC: result codes
 *
 * Every function that can fail returns an enum status.  The table below is the only place where a
 * code, its control-socket number and its sentence are written down.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#define NODISCARD           __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, a) __attribute__((format(printf, fmt, a)))

/*    code              ctl   sentence */
#define STATUS_TABLE(X)                                                                            \
    X(ST_OK, 0, "ok")                                                                              \
    X(ST_NOMEM, 8001, "out of memory")                                                             \
    X(ST_LIMIT, 8002, "a configured limit is reached")                                             \
    X(ST_IO, 8003, "input or output failed")                                                       \
    X(ST_TIMEOUT, 8004, "no answer in time")                                                       \
    X(ST_UNREACHABLE, 8005, "the destination cannot be reached")                                   \
    X(ST_STATE, 8006, "not possible in the present state")                                         \
    X(ST_MALFORMED, 9001, "malformed input")                                                       \
    X(ST_RANGE, 9002, "value out of range")                                                        \
    X(ST_NOT_FOUND, 9003, "not found")                                                             \
    X(ST_EXISTS, 9004, "there already")                                                            \
    X(ST_FORBIDDEN, 9005, "forbidden")                                                             \
    X(ST_SIGNATURE, 9006, "signature or certificate not valid")                                    \
    X(ST_UNSUPPORTED, 9007, "not supported")                                                       \
    X(ST_TOO_OLD, 9008, "older than what is stored")                                               \
    X(ST_GENERATION, 9009, "generation counter too low")                                           \
    X(ST_TOO_LARGE, 9010, "too large")                                                             \
    X(ST_UNKNOWN_KIND, 9011, "unknown kind")                                                       \
    X(ST_INCOMPATIBLE, 9012, "incompatible with this overlay")                                     \
    X(ST_IN_PROGRESS, 9013, "the node has not joined yet")                                         \
    X(ST_CONFIG, 9014, "the configuration has mistakes")

enum status {
#define STATUS_ENUM(code, ctl, sentence) code,
    STATUS_TABLE(STATUS_ENUM)
#undef STATUS_ENUM
};

/** The story behind a failure, told outermost first: "area lab: hello: 3 bytes missing". */
struct why {
    char text[768]; /* two paths of the longest kind and what is wrong with them */
};

/** status_text - the sentence of a code; never NULL. */
const char *status_text(enum status st);

/** status_number - the code's number on the control socket; 0 for ST_OK. */
int status_number(enum status st);

/**
 * why_set - note why something failed
 * @why: where to write, or NULL if the caller does not care
 * @st:  the code to hand back
 * @fmt: printf format, no trailing newline
 *
 * Returns: @st, so that a failure is one statement: return why_set(why, ST_RANGE, ...).
 */
enum status why_set(struct why *why, enum status st, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
