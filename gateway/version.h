/** DOC: the one place where the version stands. */
#ifndef GATEWAY_VERSION_H
#define GATEWAY_VERSION_H

#define RINGWAY_VERSION "0.1.0"

#endif
