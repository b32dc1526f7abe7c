/**
 * DOC: the daemon's answers, for people
 *
 * Each takes the JSON body of one path under /v1/ and prints it to standard output.  Fields that
 * are not there are left empty: an older daemon may answer.
 */
#ifndef GATEWAY_CLI_SHOW_H
#define GATEWAY_CLI_SHOW_H

#include <jansson.h>

void show_status(const json_t *body);
void show_election(const json_t *body);
void show_history(const json_t *body);
/** show_history_end - its last lines, below something else. */
void show_history_end(const json_t *body);
void show_overlay(const json_t *body);
void show_resolve(const json_t *body);
void show_registrations(const json_t *body);
void show_calls(const json_t *body);

#endif
