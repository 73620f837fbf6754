/*
 * server/server_limits.h - the named maxima of the worker's API, with their reasons.
 *
 * Source: ours; where OpenAI publishes a limit it is the floor.
 */
#ifndef SERVER_SERVER_LIMITS_H
#define SERVER_SERVER_LIMITS_H

#include <stddef.h>

#define SERVER_BODY_MAX       ((size_t)16 << 20) /* bytes: a million-token prompt as text or ids */
#define SERVER_JSON_DEPTH_MAX 32                 /* tool schemas nest about 10 deep */
#define SERVER_PROMPTS_MAX    128                /* prompts of one completion request */
#define SERVER_CHOICES_MAX    1024               /* texts of one request: prompts times n */
#define SERVER_MESSAGES_MAX   8192               /* of a chat; templates walk them all */
#define SERVER_TOKENS_MAX     ((size_t)4 << 20)  /* of one prompt: beyond any context */
#define SERVER_NAME_MAX       256                /* bytes of a model name */
#define SERVER_NAMES_MAX      8                  /* served names and aliases */
#define SERVER_REQUEST_ID_MAX 128                /* bytes of x-request-id that are echoed */
#define SERVER_QUEUE_BYTES_MAX                                                                     \
    ((size_t)8 << 20) /* engine events that wait for the loop, per call */
#define SERVER_WHOLE_BYTES_MAX ((size_t)256 << 20) /* body of an answer that is not streamed */
#define SERVER_UNSENT_MAX      ((size_t)1 << 20) /* unsent bytes at which a slow reader is dropped */
#define SERVER_RETRY_AFTER_S   1 /* hint with 429 and 503 where the engine gives none */
#define SERVER_INLINE_BODY_MAX                                                                     \
    8192 /* bytes read and tokenised on the loop: well below a millisecond */
#define SERVER_WORK_MAX       256                /* larger bodies that wait to be read */
#define SERVER_WORK_BYTES_MAX ((size_t)64 << 20) /* of these together, besides the first */

#endif
