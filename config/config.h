/**
 * DOC: ringway.conf
 *
 * Reading is all or nothing: every mistake in the file is reported in one run, each as
 * "file:line: option: what was found, what is allowed", and an unknown option is a mistake.  What
 * comes out are plain structs that gateway/ hands down; nobody else reads the file.
 *
 * Source: docs/operations.md; syntax of libconfuse.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define CONFIG_TEXT_BYTES 256
#define CONFIG_LIST_MAX   64

struct config_list {
    size_t count;
    char item[CONFIG_LIST_MAX][CONFIG_TEXT_BYTES];
};

struct config_overlay {
    bool is_set;
    int line;
    char name[128];
    char algorithm[16];                 /* local only; the global overlay is chord */
    char plugin_dir[CONFIG_TEXT_BYTES]; /* local only */
    char parameters[64];
    struct config_list foreign; /* local only: names inside ours that are other overlays' */
    char listen[64];            /* "IP:PORT" */
    struct config_list bootstrap;
    uint32_t bootstrap_wait_ms;
    uint32_t reliability_ms;
    uint32_t update_ms; /* 0: the plug-in's default */
    uint32_t max_links;
    uint32_t max_records;
    char credentials[CONFIG_TEXT_BYTES];
    char security[16]; /* "tls" */
};

struct config_election {
    bool candidate;
    char role[16];                  /* "auto", "pinned", "barred" */
    uint32_t hello_interval_ms;     /* 100 */
    uint32_t hello_interval_max_ms; /* 0: ten times hello_interval_ms */
    uint32_t hello_misses;          /* 3 */
    uint32_t threshold;             /* 200 */
    uint32_t gateways;              /* 1 */
    bool preempt;
    uint32_t margin;         /* 100 */
    uint32_t hold_s;         /* 60 */
    uint32_t bandwidth_mbit; /* 0: measured */
    uint32_t weight_online, weight_bandwidth, weight_cpu, weight_calls, weight_memory,
        weight_preference;
    uint32_t preference; /* 0..1000, the operator's */
    uint32_t half_online_s, half_bandwidth_mbit, half_cores, half_calls, half_memory_mib;
};

struct config_sip {
    struct config_list listen;
    char gateway_listen[64];
    char peer_listen[64];
    char authentication[16]; /* "none" */
    uint32_t min_expires_s, default_expires_s, max_expires_s;
    uint32_t ring_timeout_s;
    uint32_t max_connections, max_peer_connections, max_gateway_connections;
    uint32_t max_connections_per_source, connection_idle_s;
    uint32_t max_requests_per_source, max_pending_per_destination;
    uint32_t max_unacknowledged, max_calls, max_registrations;
};

struct config_control {
    char socket[CONFIG_TEXT_BYTES];
    char http[64]; /* "" : none */
};

struct config {
    char file[CONFIG_TEXT_BYTES];
    struct {
        char name[64];
        char address[64];
        char state_dir[CONFIG_TEXT_BYTES];
    } node;
    char log_level[16]; /* error warn remote info debug */
    struct config_overlay local;
    struct config_overlay global;
    struct config_election election;
    struct config_sip sip;
    struct config_control control;
};

/**
 * config_load - read and check a file
 * @on_mistake: called once for each mistake, with the whole line to print
 * @ret:        set on success only; plain data, nothing to free
 * Returns: ST_OK; ST_CONFIG after at least one on_mistake; ST_IO if the file cannot be read (told
 *          through on_mistake too).
 */
NODISCARD enum status config_load(const char *file, void (*on_mistake)(void *ctx, const char *line),
                                  void *ctx, struct config *ret);

#endif
