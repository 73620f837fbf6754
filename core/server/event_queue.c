/* See event_queue.h. event.stop is not carried: whether a stop string ended it is not in our replies. */
#include "event_queue.h"

#include <string.h>

#include "base/banned.h"

bool event_pack(struct buf *queue, uint32_t choice_i, int64_t at_ns,
                const struct engine_event *event)
{
    static const char padding[8] = {0};
    size_t top_bytes = event->n_top * sizeof *event->top;
    size_t message_bytes = event->message != NULL ? strlen(event->message) + 1 : 0;
    size_t payload = top_bytes + event->text_bytes + message_bytes;
    size_t bytes = pl_align_up(sizeof(struct event_record) + payload, 8);
    if (payload > UINT32_MAX / 2)
        return false;
    struct event_record record = {
        .bytes = (uint32_t)bytes,
        .choice_i = choice_i,
        .at_ns = at_ns,
        .event = *event,
        .message_bytes = (uint32_t)message_bytes,
    };
    record.event.stop = NULL;
    if (buf_reserve(queue, bytes) == NULL)
        return false;
    buf_append(queue, &record, sizeof record);
    buf_append(queue, event->top, top_bytes);
    buf_append(queue, event->text, event->text_bytes);
    buf_append(queue, event->message, message_bytes);
    buf_append(queue, padding, bytes - sizeof record - payload);
    return true;
}

bool event_unpack(const struct buf *queue, size_t *at, struct event_record *ret)
{
    if (*at >= queue->len)
        return false;
    const char *from = queue->data + *at;
    memcpy(ret, from, sizeof *ret);
    from += sizeof *ret;
    /* records start at multiples of 8 in malloc'ed memory, so the array is aligned */
    ret->event.top = (const struct engine_logprob *)(const void *)from;
    from += ret->event.n_top * sizeof *ret->event.top;
    ret->event.text = from;
    from += ret->event.text_bytes;
    ret->event.message = ret->message_bytes > 0 ? from : NULL;
    *at += ret->bytes;
    return true;
}
