/*
 * daemon/notify.h - readiness for the service manager: sd_notify's protocol without libsystemd.
 *
 * One datagram to the socket named by NOTIFY_SOCKET ("@" first: abstract). Nothing happens where the
 * variable is not set; failures are ignored, as a service must not die for want of a listener.
 *
 * Threads: any.  Source: sd_notify(3), section "Notes".
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

void notify_send(const char *state); /* "READY=1", "STATUS=..." */

#endif
