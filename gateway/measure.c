#include "gateway/measure.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct measure {
    char address[64];
    uint64_t started_s;
    uint64_t busy_ticks;
    uint64_t idle_ticks;
    uint64_t octets; /* of the interface that has node.address */
    uint64_t octets_at_ms;
};

static uint64_t
monotonic_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

enum status
measure_new(const struct config *c, struct measure **ret_measure)
{
    struct measure *m = calloc(1, sizeof(*m));

    if (!m)
        return ST_NOMEM;
    snprintf(m->address, sizeof(m->address), "%s", c->node.address);
    m->started_s = monotonic_ms() / 1000;
    *ret_measure = m;
    return ST_OK;
}

void
measure_free(struct measure *m)
{
    free(m);
}

static void
read_cpu(struct measure *m, struct election_load *ret)
{
    unsigned long long user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
    FILE *in = fopen("/proc/stat", "re");
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    ret->cpu_count = count > 0 ? (uint32_t)count : 1;
    ret->idle_thousandths = 1000;
    if (!in)
        return;
    if (fscanf(in, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait,
               &irq, &softirq) == 7) {
        uint64_t busy_ticks = user + nice + system + irq + softirq;
        uint64_t idle_ticks = idle + iowait;
        uint64_t busy = busy_ticks - m->busy_ticks;
        uint64_t rest = idle_ticks - m->idle_ticks;
        if (m->busy_ticks + m->idle_ticks > 0 && busy + rest > 0)
            ret->idle_thousandths = (uint16_t)(rest * 1000 / (busy + rest));
        m->busy_ticks = busy_ticks;
        m->idle_ticks = idle_ticks;
    }
    fclose(in);
}

static void
read_memory(struct election_load *ret)
{
    char line[128];
    unsigned long long kib;
    FILE *in = fopen("/proc/meminfo", "re");

    if (!in)
        return;
    while (fgets(line, sizeof(line), in)) {
        if (sscanf(line, "MemTotal: %llu", &kib) == 1)
            ret->memory_total_kib = kib;
        else if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
            ret->memory_available_kib = kib;
    }
    fclose(in);
}

/* The name of the interface that has our address; "lo" for all of 127.0.0.0/8. */
static bool
find_interface(const char *address, char *out, size_t out_bytes)
{
    struct ifaddrs *all = NULL;
    char text[INET6_ADDRSTRLEN];
    bool is_found = false;

    if (strncmp(address, "127.", 4) == 0) {
        snprintf(out, out_bytes, "lo");
        return true;
    }
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *at = all; at && !is_found; at = at->ifa_next) {
        const void *raw = NULL;
        if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET)
            raw = &((const struct sockaddr_in *)(const void *)at->ifa_addr)->sin_addr;
        else if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET6)
            raw = &((const struct sockaddr_in6 *)(const void *)at->ifa_addr)->sin6_addr;
        if (!raw || !inet_ntop(at->ifa_addr->sa_family, raw, text, sizeof(text)))
            continue;
        is_found = strcmp(text, address) == 0;
        if (is_found)
            snprintf(out, out_bytes, "%s", at->ifa_name);
    }
    freeifaddrs(all);
    return is_found;
}

static uint64_t
read_number(const char *interface, const char *what)
{
    char path[128];
    long long value = 0;

    snprintf(path, sizeof(path), "/sys/class/net/%s/%s", interface, what);
    FILE *in = fopen(path, "re");
    if (!in)
        return 0;
    if (fscanf(in, "%lld", &value) != 1 || value < 0) /* -1: a link without a speed */
        value = 0;
    fclose(in);
    return (uint64_t)value;
}

static void
read_link(struct measure *m, struct election_load *ret)
{
    char interface[64];
    uint64_t now_ms = monotonic_ms();

    if (!find_interface(m->address, interface, sizeof(interface)))
        return;
    ret->link_mbit = (uint32_t)read_number(interface, "speed");
    uint64_t octets = read_number(interface, "statistics/rx_bytes") +
                      read_number(interface, "statistics/tx_bytes");
    if (m->octets_at_ms > 0 && now_ms > m->octets_at_ms && octets >= m->octets)
        ret->used_mbit = (uint32_t)((octets - m->octets) * 8 / 1000 / (now_ms - m->octets_at_ms));
    m->octets = octets;
    m->octets_at_ms = now_ms;
}

void
measure_take(struct measure *m, struct election_load *ret)
{
    *ret = (struct election_load){.online_s = monotonic_ms() / 1000 - m->started_s};
    read_cpu(m, ret);
    read_memory(ret);
    read_link(m, ret);
}
