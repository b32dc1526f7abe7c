#include "peer-protocol/link/path.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_US 100000u

static bool
look(struct path *p, int fd, uint32_t *ret_lost)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info)); /* an older kernel fills in less */
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    /* What the other end says that it had twice was sent again in haste: its acknowledgement came
     * late (RFC 8985 section 7.4.2), on a busy machine above all. */
    *ret_lost = info.tcpi_total_retrans > info.tcpi_dsack_dups
                    ? info.tcpi_total_retrans - info.tcpi_dsack_dups
                    : 0;
    *ret_lost += info.tcpi_rcv_ooopack;
    p->rto_us = info.tcpi_rto >> info.tcpi_backoff;
    return true;
}

void
path_heard(struct path *p, int fd, uint64_t now_us)
{
    uint32_t lost;

    if (fd < 0 || now_us < p->looked_us + LOOK_US || !look(p, fd, &lost))
        return;
    p->looked_us = now_us;
    if (lost <= p->lost)
        return;
    p->lost = lost;
    p->lost_us[2] = p->lost_us[1];
    p->lost_us[1] = p->lost_us[0];
    p->lost_us[0] = now_us;
}

bool
path_is_lossy(const struct path *p, uint64_t now_us)
{
    return p->lost_us[2] > 0 && now_us < p->lost_us[2] + PATH_LOSSY_MS * UINT64_C(1000);
}
