/**
 * DOC: the file of a plug-in, before any of it runs
 *
 * Its code has all rights of the daemon, so it and every folder on the way to it must belong to
 * root or to the daemon's user and be writable by nobody else (a folder that all may write in, and
 * where each may remove his own files alone, like /tmp, will do).  The file is read whole, its
 * headers are held against its size, and what is loaded is a sealed copy in memory: a file that is
 * overwritten later, or was half written when it was read, does not end the daemon.
 */
#ifndef GATEWAY_PLUGIN_FILE_H
#define GATEWAY_PLUGIN_FILE_H

#include "base/bytes.h"
#include "base/status.h"

/**
 * plugin_file_read - the whole file
 * @ret_bytes: a shared object of this machine, complete; the caller frees it by slice_free()
 * Returns: ST_OK; ST_CONFIG with what was found and what is allowed; ST_NOMEM.
 */
NODISCARD enum status plugin_file_read(const char *path, struct slice *ret_bytes, struct why *why);

/**
 * plugin_file_copy - a private copy that can be loaded
 * @ret_fd: the caller closes it
 * Returns: ST_OK; ST_IO.
 */
NODISCARD enum status plugin_file_copy(struct slice bytes, const char *name, int *ret_fd,
                                       struct why *why);

#endif
