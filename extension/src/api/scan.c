/*
 * api/scan.c
 *	  Receiving as a plan node of its own.
 *
 * SELECT ... FROM baton.receive(...) would be planned as a function scan: an expression for each argument, a row type
 * that is looked up, a tuplestore that is filled and read again.  That is for functions that nothing is known of, and
 * would take longer than to receive a message.  The node here calls the same code, and
 * makes columns, of those that are asked for, right from the deliveries.
 *
 * It behaves as a function scan does: the call is made when the first row is wanted, once, however often the node is
 * scanned again; whoever runs it needs EXECUTE.  It isn't used where that would be hard to keep: see may_take_place().
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "api/receive.h"
#include "api/scan.h"
#include "compat.h"

/* The functions that are scanned this way. */
static const struct
{
	const char *name;
	PGFunction	function;
	Receiver	receiver;
	int			args;
} sources[] = {
	{"baton_receive", baton_receive, receive_call, 4},
	{"baton_complete_and_receive", baton_complete_and_receive, complete_and_receive_call, 6},
};

#define ARGS_MAX 6

typedef struct ReceiveScan
{
	CustomScanState css;
	Receiver	receiver;
	FmgrInfo	function;		/* as far as the statistics of functions want it */
	List	   *args;			/* expressions */
	List	   *compiled;		/* those of them, or of their elements, that have to be */
	int			evaluated;		/* how many of these */
	int		   *columns;		/* of a delivery, one for each of the slot */
	bool		called;
	Delivery   *deliveries;
	int			count;
	int			position;		/* in deliveries; -1: before the first, count: after the last */
} ReceiveScan;

/* ---- running it ---- */

/* Constants and parameters of a prepared statement, as most arguments are, needn't be compiled for it. */
static bool
is_known(const ReceiveScan *scan, const Expr *expr, Datum *value, bool *isnull)
{
	const ParamListInfoData *params = scan->css.ss.ps.state->es_param_list_info;
	const ParamExternData *param;

	if (IsA(expr, Const))
	{
		*value = ((const Const *) expr)->constvalue;
		*isnull = ((const Const *) expr)->constisnull;
		return true;
	}
	if (!IsA(expr, Param) || params == NULL || params->paramFetch != NULL ||
		((const Param *) expr)->paramid > params->numParams)
		return false;
	param = &params->params[((const Param *) expr)->paramid - 1];
	*value = param->value;
	*isnull = param->isnull;
	return param->ptype == ((const Param *) expr)->paramtype;
}

static void
compile(ReceiveScan *scan, Expr *expr)
{
	Datum		value;
	bool		isnull;

	if (!is_known(scan, expr, &value, &isnull))
		scan->compiled = lappend(scan->compiled, ExecInitExpr(expr, &scan->css.ss.ps));
}

/* In the order in which they were compiled. */
static Datum
evaluate(ReceiveScan *scan, const Expr *expr, bool *isnull)
{
	Datum		value;

	if (is_known(scan, expr, &value, isnull))
		return value;
	return ExecEvalExprSwitchContext(list_nth(scan->compiled, scan->evaluated++),
									 scan->css.ss.ps.ps_ExprContext, isnull);
}

/* ARRAY[...] isn't made into an array, just to be taken apart again. */
static bool
is_spread(const Expr *arg)
{
	return IsA(arg, ArrayExpr) && !((const ArrayExpr *) arg)->multidims;
}

static void
compile_args(ReceiveScan *scan)
{
	ListCell   *cell;
	ListCell   *element;

	foreach(cell, scan->args)
	{
		if (!is_spread(lfirst(cell)))
			compile(scan, lfirst(cell));
		else
			foreach(element, lfirst_node(ArrayExpr, cell)->elements)
				compile(scan, lfirst(element));
	}
}

static Elements
evaluate_elements(ReceiveScan *scan, const ArrayExpr *array)
{
	Elements	out = {.count = list_length(array->elements)};
	ListCell   *cell;

	out.values = palloc(Max(out.count, 1) * sizeof(Datum));
	out.nulls = palloc(Max(out.count, 1) * sizeof(bool));
	foreach(cell, array->elements)
	{
		int			i = foreach_current_index(cell);

		out.values[i] = evaluate(scan, lfirst(cell), &out.nulls[i]);
	}
	return out;
}

/* Elements that were spread go to `given`. */
static void
evaluate_args(ReceiveScan *scan, FunctionCallInfo fcinfo, Elements *given)
{
	ListCell   *cell;

	foreach(cell, scan->args)
	{
		int			n = foreach_current_index(cell);
		Expr	   *arg = lfirst(cell);

		if (is_spread(arg))
			given[n] = evaluate_elements(scan, castNode(ArrayExpr, arg));
		else
			fcinfo->args[n].value = evaluate(scan, arg, &fcinfo->args[n].isnull);
	}
}

/* The deliveries last as long as the query. */
static void
receive(ReceiveScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->css.ss.ps.state->es_query_cxt);
	Elements	given[ARGS_MAX] = {0};
	PgStat_FunctionCallUsage usage;

	LOCAL_FCINFO(fcinfo, ARGS_MAX);

	InitFunctionCallInfoData(*fcinfo, &scan->function, list_length(scan->args), InvalidOid, NULL, NULL);
	evaluate_args(scan, fcinfo, given);
	pgstat_init_function_usage(fcinfo, &usage);
	scan->deliveries = scan->receiver(fcinfo, given, &scan->count);
	pgstat_end_function_usage(&usage, true);
	scan->called = true;
	MemoryContextSwitchTo(old);
}

static TupleTableSlot *
next_row(ScanState *ss)
{
	ReceiveScan *scan = (ReceiveScan *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	MemoryContext old;

	ExecClearTuple(slot);
	if (!scan->called)
		receive(scan);
	if (ScanDirectionIsForward(ss->ps.state->es_direction))
		scan->position = Min(scan->position + 1, scan->count);
	else
		scan->position = Max(scan->position - 1, -1);
	if (scan->position < 0 || scan->position >= scan->count)
		return slot;

	old = MemoryContextSwitchTo(ss->ps.ps_ExprContext->ecxt_per_tuple_memory);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
		slot->tts_values[i] = delivery_column(&scan->deliveries[scan->position], scan->columns[i],
											  &slot->tts_isnull[i]);
	MemoryContextSwitchTo(old);
	return ExecStoreVirtualTuple(slot);
}

/* Never called: no query that locks or updates rows has such a node. */
static bool
recheck_row(ScanState *ss, TupleTableSlot *slot)
{
	elog(ERROR, "a scan of deliveries can't be rechecked");
	return false;
}

static TupleTableSlot *
exec_scan(CustomScanState *css)
{
	return ExecScan(&css->ss, next_row, recheck_row);
}

static FuncExpr *
call_of(const CustomScan *plan)
{
	return linitial_node(FuncExpr, plan->custom_exprs);
}

static void
begin_scan(CustomScanState *css, EState *estate, int eflags)
{
	ReceiveScan *scan = (ReceiveScan *) css;
	const CustomScan *plan = castNode(CustomScan, css->ss.ps.plan);
	const FuncExpr *function = call_of(plan);
	AclResult	allowed;
	ListCell   *cell;

	allowed = BatonMayExecute(function->funcid);
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_FUNCTION, get_func_name(function->funcid));
	InvokeFunctionExecuteHook(function->funcid);
	scan->receiver = sources[intVal(linitial(plan->custom_private))].receiver;
	scan->function.fn_oid = function->funcid;
	scan->function.fn_stats = TRACK_FUNC_PL;
	scan->args = function->args;
	compile_args(scan);
	scan->columns = palloc(list_length(plan->custom_scan_tlist) * sizeof(int));
	foreach(cell, plan->custom_scan_tlist)
		scan->columns[foreach_current_index(cell)] =
			castNode(Var, lfirst_node(TargetEntry, cell)->expr)->varattno;
	scan->position = -1;
}

static void
end_scan(CustomScanState *css)
{
}

static void
rescan(CustomScanState *css)
{
	((ReceiveScan *) css)->position = -1;
	ExecScanReScan(&css->ss);
}

static void
explain_scan(CustomScanState *css, List *ancestors, ExplainState *es)
{
	const CustomScan *plan = castNode(CustomScan, css->ss.ps.plan);
	List	   *context = set_deparse_context_plan(es->deparse_cxt, css->ss.ps.plan, ancestors);

	ExplainPropertyText("Function Call",
						deparse_expression((Node *) call_of(plan), context, es->verbose, false), es);
}

static const CustomExecMethods exec_methods = {
	.CustomName = "Baton Receive",
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = exec_scan,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = rescan,
	.ExplainCustomScan = explain_scan,
};

/* ---- planning it ---- */

static Node *
create_state(CustomScan *plan)
{
	ReceiveScan *scan = palloc0(sizeof(ReceiveScan));

	NodeSetTag(scan, T_CustomScanState);
	scan->css.methods = &exec_methods;
	return (Node *) scan;
}

static const CustomScanMethods scan_methods = {
	.CustomName = "Baton Receive",
	.CreateCustomScanState = create_state,
};

/* Which of `sources` a function is by its declaration, -1: none. */
static int
declared_source(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	int			source = -1;

	if (!HeapTupleIsValid(tuple))
		return -1;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
	{
		bool		isnull;
		char	   *name =
			TextDatumGetCString(SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull));

		for (int i = 0; i < lengthof(sources); i++)
			if (strcmp(name, sources[i].name) == 0)
				source = i;
	}
	ReleaseSysCache(tuple);
	return source;
}

/*
 * The same by what would be called: one that was made SECURITY DEFINER, or has settings of its own, is none, as those
 * take place around the call.
 */
static int
source_of(const FuncExpr *call)
{
	int			source = declared_source(call->funcid);
	FmgrInfo	info;

	if (source < 0 || list_length(call->args) != sources[source].args)
		return -1;
	fmgr_info(call->funcid, &info);
	return info.fn_addr == sources[source].function ? source : -1;
}

/* Its value comes from elsewhere in the query. */
static bool
depends_on_query(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) || IsA(node, SubPlan) || IsA(node, AlternativeSubPlan) ||
		IsA(node, PlaceHolderVar) ||
		(IsA(node, Param) && castNode(Param, node)->paramkind != PARAM_EXTERN))
		return true;
	return expression_tree_walker(node, depends_on_query, context);
}

/* Whole rows and columns that a delivery doesn't have. */
static bool
wants_other_columns(const RelOptInfo *rel, Index rti)
{
	Bitmapset  *columns = NULL;
	int			column = -1;

	pull_varattnos((Node *) rel->reltarget->exprs, rti, &columns);
	pull_varattnos((Node *) extract_actual_clauses(rel->baserestrictinfo, false), rti, &columns);
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber	number = column + FirstLowInvalidHeapAttributeNumber;

		if (number < 1 || number > DELIVERY_COLUMNS)
			return true;
	}
	return false;
}

/* NULL: the rangetable's entry is something else than a single call. */
static FuncExpr *
call_in(const RangeTblEntry *rte)
{
	const RangeTblFunction *function;

	if (rte->rtekind != RTE_FUNCTION || list_length(rte->functions) != 1 || rte->funcordinality)
		return NULL;
	function = linitial_node(RangeTblFunction, rte->functions);
	if (!IsA(function->funcexpr, FuncExpr) || function->funccolnames != NIL ||
		function->funccolcount != DELIVERY_COLUMNS)
		return NULL;
	return (FuncExpr *) function->funcexpr;
}

/*
 * Whether the node may stand where this entry is.  Not in a query that locks or updates rows: when such a row has changed
 * meanwhile, nodes are asked for the row that they gave with it, which this one can't find again.
 */
static bool
may_take_place(const PlannerInfo *root, const RelOptInfo *rel, Index rti, const RangeTblEntry *rte)
{
	FuncExpr   *call = call_in(rte);

	return call != NULL && rel->reloptkind == RELOPT_BASEREL && rel->lateral_relids == NULL &&
		(root->parse->commandType == CMD_SELECT || root->parse->commandType == CMD_INSERT) &&
		root->parse->rowMarks == NIL && !depends_on_query((Node *) call, NULL) &&
		!wants_other_columns(rel, rti);
}

/* The scan's own columns are those that are wanted above it, whatever tlist is by then, or in its conditions. */
static Plan *
make_plan(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses,
		  List *custom_plans)
{
	CustomScan *plan = makeNode(CustomScan);
	List	   *quals = extract_actual_clauses(clauses, false);
	List	   *wanted = pull_var_clause((Node *) list_concat_copy(rel->reltarget->exprs, quals),
										 PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS |
										 PVC_RECURSE_PLACEHOLDERS);

	plan->scan.plan.targetlist = tlist;
	plan->scan.plan.qual = quals;
	plan->flags = path->flags;
	plan->custom_exprs = list_make1(copyObject(call_in(root->simple_rte_array[rel->relid])));
	plan->custom_scan_tlist = add_to_flat_tlist(NIL, wanted);
	plan->custom_private = path->custom_private;
	plan->methods = &scan_methods;
	return &plan->scan.plan;
}

static const CustomPathMethods path_methods = {
	.CustomName = "Baton Receive",
	.PlanCustomPath = make_plan,
};

static set_rel_pathlist_hook_type previous_hook = NULL;

/* In the place of the only path that there is, that of a function scan; it costs the same. */
static void
offer_path(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	const Path *usual;
	CustomPath *path;
	int			source;

	if (previous_hook)
		previous_hook(root, rel, rti, rte);
	if (!may_take_place(root, rel, rti, rte) || list_length(rel->pathlist) != 1)
		return;
	usual = linitial(rel->pathlist);
	if (!IsA(usual, Path) || usual->pathtype != T_FunctionScan)
		return;
	source = source_of(call_in(rte));
	if (source < 0)
		return;

	path = makeNode(CustomPath);
	path->path = *usual;
	path->path.type = T_CustomPath;
	path->path.pathtype = T_CustomScan;
	path->flags = CUSTOMPATH_SUPPORT_BACKWARD_SCAN | BATON_SUPPORT_PROJECTION;
	path->custom_private = list_make1(makeInteger(source));
	path->methods = &path_methods;
	rel->pathlist = list_make1(path);
}

void
scan_define(void)
{
	RegisterCustomScanMethods(&scan_methods);
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = offer_path;
}
