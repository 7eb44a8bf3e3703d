/*
 * http/route.h
 *	  All routes of the API, as one table: matching, authorization, docs/openapi.yaml's test
 *	  and the counters go by it.
 */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include <stdbool.h>

/* What a token may do; the names are in auth.c. */
typedef enum Scope
{
	SCOPE_NONE = 0, /* no token is asked for */
	SCOPE_SEND = 1,
	SCOPE_RECEIVE = 2,
	SCOPE_INSPECT = 4,
	SCOPE_MANAGE = 8
} Scope;

typedef enum BodyKind
{
	BODY_NONE,
	BODY_JSON,    /* one object, or nothing */
	BODY_MESSAGES /* an object, an array of them, or objects in lines */
} BodyKind;

typedef struct Request Request;

typedef struct Route
{
	const char *method;
	const char *path; /* {name} stands for one segment */
	Scope scope;
	BodyKind body;
	const char *parameters; /* of the query, with spaces between; "" for none */
	void (*handle)(Request *r);
	const char *summary;
} Route;

extern const Route routes[];
extern const int route_count;

/*
 * The route of a method and a path that was split into segments; NULL: none.  Then
 * *methods says which the path has, as Allow wants it ("" if it has none; HEAD stands for GET).
 * segments that {name} stands for are put into arguments, which must have room for two.
 */
extern const Route *route_find(const char *method, char *const *segments, int count,
                               const char **arguments, char methods[64]);

/* One line a route, for "baton help --routes" and the test of docs/openapi.yaml. */
extern void routes_print(void);

#endif
