/*
 * http/route.c
 *	  All routes of the API, as one table.
 */
#include "http/route.h"

#include <stdio.h>
#include <string.h>

#include "http/handlers.h"

/* clang-format off */
const Route routes[] = {
	{"GET", "/healthz", SCOPE_NONE, BODY_NONE, "", handle_alive,
	 "The program runs"},
	{"GET", "/readyz", SCOPE_NONE, BODY_NONE, "", handle_ready,
	 "The database answers"},
	{"GET", "/metrics", SCOPE_INSPECT, BODY_NONE, "", handle_metrics,
	 "All metrics, as Prometheus reads them"},
	{"GET", "/v1/stats", SCOPE_INSPECT, BODY_NONE, "", handle_stats,
	 "What is in all queues, and how the server is"},
	{"GET", "/v1/queues", SCOPE_INSPECT, BODY_NONE, "", handle_queue_list,
	 "All queues"},
	{"POST", "/v1/queues", SCOPE_MANAGE, BODY_JSON, "", handle_queue_create,
	 "Make a queue"},
	{"GET", "/v1/queues/{queue}", SCOPE_INSPECT, BODY_NONE, "", handle_queue_get,
	 "One queue"},
	{"PATCH", "/v1/queues/{queue}", SCOPE_MANAGE, BODY_JSON, "", handle_queue_alter,
	 "Change a queue's policy"},
	{"DELETE", "/v1/queues/{queue}", SCOPE_MANAGE, BODY_NONE, "", handle_queue_drop,
	 "Drop a queue with all its messages"},
	{"POST", "/v1/queues/{queue}/pause", SCOPE_MANAGE, BODY_NONE, "", handle_queue_pause,
	 "Nothing is received from the queue any more"},
	{"POST", "/v1/queues/{queue}/resume", SCOPE_MANAGE, BODY_NONE, "", handle_queue_resume,
	 "End a pause"},
	{"POST", "/v1/queues/{queue}/purge", SCOPE_MANAGE, BODY_NONE, "", handle_queue_purge,
	 "Cancel all that is in the queue and not in flight"},
	{"POST", "/v1/queues/{queue}/messages", SCOPE_SEND, BODY_MESSAGES, "", handle_send,
	 "Send one message, an array of them, or a stream of lines"},
	{"GET", "/v1/queues/{queue}/messages/{id}", SCOPE_INSPECT, BODY_NONE, "", handle_message,
	 "One message: status, result, history"},
	{"POST", "/v1/queues/{queue}/receive", SCOPE_RECEIVE, BODY_NONE, "max wait lease", handle_receive,
	 "Claim messages; wait for some if there are none"},
	{"POST", "/v1/claims/{receipt}/complete", SCOPE_RECEIVE, BODY_JSON, "", handle_complete,
	 "The message is done"},
	{"POST", "/v1/claims/{receipt}/fail", SCOPE_RECEIVE, BODY_JSON, "", handle_fail,
	 "The work failed: try again later, or never"},
	{"POST", "/v1/claims/{receipt}/release", SCOPE_RECEIVE, BODY_JSON, "", handle_release,
	 "Give the message back undone"},
	{"POST", "/v1/claims/{receipt}/extend", SCOPE_RECEIVE, BODY_JSON, "", handle_extend,
	 "The claim lasts longer"},
};
/* clang-format on */

const int route_count = sizeof(routes) / sizeof(routes[0]);

/*
 * Compares a route's path with segments; notes what {name} stands for.  Paths in the
 * table are short, and few: no tree is needed.
 */
static bool
matches(const char *path, char *const *segments, int count, const char **arguments)
{
	int found = 0;

	for (int i = 0; i < count; i++)
	{
		size_t length;

		if (*path++ != '/')
			return false;
		length = strcspn(path, "/");
		if (*path == '{')
			arguments[found++] = segments[i];
		else if (strlen(segments[i]) != length || strncmp(path, segments[i], length) != 0)
			return false;
		path += length;
	}
	return *path == '\0';
}

static void
add_method(char methods[64], const char *method)
{
	size_t length = strlen(methods);

	snprintf(methods + length, 64 - length, "%s%s", length ? ", " : "", method);
}

const Route *
route_find(const char *method, char *const *segments, int count, const char **arguments,
           char methods[64])
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

	methods[0] = '\0';
	for (int i = 0; i < route_count; i++)
	{
		if (!matches(routes[i].path, segments, count, arguments))
			continue;
		if (strcmp(routes[i].method, wanted) == 0)
			return &routes[i];
		add_method(methods, routes[i].method);
		if (strcmp(routes[i].method, "GET") == 0)
			add_method(methods, "HEAD");
	}
	return NULL;
}

void
routes_print(void)
{
	static const char *const scopes[] = {"-",  "send", "receive", NULL,    "inspect",
	                                     NULL, NULL,   NULL,      "manage"};

	for (int i = 0; i < route_count; i++)
		printf("%s\t%s\t%s\t%s\t%s\n", routes[i].method, routes[i].path,
		       scopes[routes[i].scope], routes[i].parameters, routes[i].summary);
}
