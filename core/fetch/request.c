/* See request.h. */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct walk {
    const struct request *request;
    const struct url *at;
    struct answer linked;
};

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

enum pl_status request_allowed(const struct url *url, bool insecure, struct pl_error *err)
{
    if (url->tls || insecure || url_is_loopback(url))
        return PL_OK;
    return pl_error_set(err, PL_EPERM,
                        "plain http to %s: anybody on the way could change the file; use https, or "
                        "add --insecure",
                        url->host);
}

static void keep_linked(struct answer *linked, const struct answer *answer)
{
    if (answer->sha256[0] != '\0')
        memcpy(linked->sha256, answer->sha256, sizeof linked->sha256);
    if (answer->has_linked_size) {
        linked->has_linked_size = true;
        linked->linked_size = answer->linked_size;
    }
    if (answer->commit[0] != '\0')
        memcpy(linked->commit, answer->commit, sizeof linked->commit);
}

static bool on_answer(void *user, const struct answer *answer)
{
    struct walk *walk = user;
    const struct request *r = walk->request;
    if (url_same_origin(walk->at, r->url))
        keep_linked(&walk->linked, answer);
    if (is_redirect(answer->status))
        return false;
    return r->on_answer(r->user, answer, &walk->linked);
}

static bool on_body(void *user, const void *bytes, size_t n)
{
    const struct walk *walk = user;
    return walk->request->on_body(walk->request->user, bytes, n);
}

static bool on_tick(void *user)
{
    const struct walk *walk = user;
    return walk->request->on_tick(walk->request->user);
}

/* The place of a redirect, checked. */
static enum pl_status next_url(const struct url *from, const char *location, bool insecure,
                               struct url *ret, struct pl_error *err)
{
    struct pl_error why = {""};
    if (location == NULL)
        return pl_error_set(err, PL_EFORMAT, "%s redirects to nowhere", from->host);
    if (url_parse(location, ret, &why) != PL_OK)
        return pl_error_set(err, PL_EPERM, "%s redirects to what is not followed: %s", from->host,
                            why.msg);
    if (from->tls && !ret->tls && !insecure)
        return pl_error_set(err, PL_EPERM, "%s redirects from https to plain http: not followed",
                            from->host);
    return request_allowed(ret, insecure, err);
}

static enum pl_status token_for(const struct request *r, const struct url *at, const char **ret,
                                struct pl_error *err)
{
    *ret = NULL;
    if (r->token == NULL || !url_same_origin(at, r->url))
        return PL_OK;
    if (!at->tls && !url_is_loopback(at))
        return pl_error_set(err, PL_EPERM, "the token is not sent over plain http to %s", at->host);
    *ret = r->token;
    return PL_OK;
}

enum pl_status request_run(const struct request *request, struct transfer_result *ret,
                           struct pl_error *err)
{
    struct url at = *request->url;
    struct walk walk = {.request = request, .at = &at};
    enum pl_status status = request_allowed(&at, request->insecure, err);
    for (int hops = 0; status == PL_OK; hops++) {
        struct transfer_request one = {
            .url = at.text,
            .offset = request->offset,
            .if_range = request->if_range,
            .on_answer = on_answer,
            .on_body = on_body,
            .on_tick = on_tick,
            .user = &walk,
        };
        struct url next;
        status = token_for(request, &at, &one.token, err);
        if (status == PL_OK)
            status = transfer_run(request->transfer, &one, ret, err);
        if (status != PL_OK)
            return status;
        char *location = ret->location;
        ret->location = NULL;
        if (ret->end != TRANSFER_DONE || !is_redirect(ret->answer.status)) {
            free(location);
            return PL_OK;
        }
        if (hops == REQUEST_REDIRECTS_MAX)
            status = pl_error_set(err, PL_ELIMIT, "%s: more than %d redirects", request->url->host,
                                  REQUEST_REDIRECTS_MAX);
        else
            status = next_url(&at, location, request->insecure, &next, err);
        free(location);
        if (status == PL_OK)
            at = next;
    }
    return status;
}
