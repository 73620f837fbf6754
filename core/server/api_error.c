/* See api_error.h. */
#include "api_error.h"

#include "base/json_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const char *type_of(int status)
{
    switch (status) {
    case 429: return "rate_limit_error";
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 503: return "service_unavailable";
    case 504: return "timeout_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

PL_PRINTF(4, 0)
static void set(struct api_error *error, int status, const char *code, const char *fmt,
                va_list args)
{
    error->status = status;
    error->type = type_of(status);
    error->code = code;
    int n = vsnprintf(error->message, sizeof error->message, fmt, args);
    if (n >= (int)sizeof error->message)
        memcpy(error->message + sizeof error->message - 4, "...", 4);
}

void api_error_param(struct api_error *error, const char *param, const char *fmt, ...)
{
    if (error->status != 0)
        return;
    va_list args;
    va_start(args, fmt);
    set(error, 400, NULL, fmt, args);
    va_end(args);
    (void)snprintf(error->param, sizeof error->param, "%s", param != NULL ? param : "");
}

void api_error_set(struct api_error *error, int status, const char *code, const char *fmt, ...)
{
    if (error->status != 0)
        return;
    va_list args;
    va_start(args, fmt);
    set(error, status, code, fmt, args);
    va_end(args);
    error->param[0] = '\0';
}

void api_error_write(const struct api_error *error, struct buf *out)
{
    struct json_writer w;
    json_begin(&w, out);
    json_object(&w);
    json_key(&w, "error");
    json_object(&w);
    json_key(&w, "message");
    json_cstring(&w, error->message);
    json_key(&w, "type");
    json_cstring(&w, error->type);
    json_key(&w, "param");
    json_cstring(&w, error->param[0] != '\0' ? error->param : NULL);
    json_key(&w, "code");
    json_cstring(&w, error->code);
    json_object_end(&w);
    json_object_end(&w);
}
