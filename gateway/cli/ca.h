/**
 * DOC: `ringwayctl ca`, the face of an overlay's certificate authority
 *
 *    ca init DIR --overlay NAME [--days N]
 *    ca issue DIR --address IP[:PORT] --user NAME --out OUTDIR [--days N] [--rsa]
 */
#ifndef GATEWAY_CLI_CA_H
#define GATEWAY_CLI_CA_H

/**
 * ca_command - do what the command line asks
 * @argv: from the word "ca" on; argv[argc] is NULL. getopt may put it in another order
 * Returns: the exit status: 0 done, 1 refused, 2 wrong usage.  Words go to stderr.
 */
int ca_command(int argc, char **argv);

#endif
