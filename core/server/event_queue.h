/*
 * server/event_queue.h - engine events, packed, on their way from the engine thread to the loop.
 *
 *   engine thread: event_pack -> buf of records            loop thread: event_unpack, record by record
 *   record = struct event_record | top[n_top] | text | message, padded to 8 bytes
 *
 * An engine event is valid only during its callback, which must not block: packing copies it into a
 * buffer whose memory is kept from token to token.
 *
 * Ownership: unpacked pointers point into the buffer, until it is cleared.  Threads: the caller's lock.
 * Limits: the buffer's max_bytes; beyond it event_pack says false and the call is given up.
 */
#ifndef SERVER_EVENT_QUEUE_H
#define SERVER_EVENT_QUEUE_H

#include "base/buf.h"

#include "engine.h"

struct event_record {
    uint32_t bytes;            /* of the whole record */
    uint32_t choice_i;         /* whose event, of all choices of a call */
    int64_t at_ns;             /* clock_now_ns when it came */
    struct engine_event event; /* its pointers are rebuilt by event_unpack */
    uint32_t message_bytes;
};

PL_NODISCARD bool event_pack(struct buf *queue, uint32_t choice_i, int64_t at_ns,
                             const struct engine_event *event);

/* The record at offset *at, which moves on; false at the end. */
PL_NODISCARD bool event_unpack(const struct buf *queue, size_t *at, struct event_record *ret);

#endif
