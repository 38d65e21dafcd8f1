// What went wrong, in one shape for every screen.
import type { ProblemBody, ProblemCode } from './types';

/** Codes of the API, and those only the page can know: it could not reach anybody, or did not understand the answer. */
export type FaultCode = ProblemCode | 'unreachable' | 'unreadable';

export class Fault extends Error {
	constructor(
		readonly code: FaultCode,
		readonly title: string,
		readonly status = 0,
		readonly detail = '',
		readonly hint = '',
		readonly fields: { pointer: string; message: string }[] = [],
		readonly operationId: string | null = null
	) {
		super(title);
	}
}

/** Reads `application/problem+json`; an answer of another shape becomes `unreadable`. */
export function faultOf(status: number, text: string): Fault {
	try {
		const body = JSON.parse(text) as Partial<ProblemBody>;
		if (typeof body.code === 'string' && typeof body.title === 'string') {
			return new Fault(body.code, body.title, status, body.detail, body.hint, body.fields, body.operation_id ?? null);
		}
	} catch {
		// Not JSON: told below.
	}
	if (status === 401) return new Fault('unauthorized', '', status);
	if (status === 404) return new Fault('not-found', '', status);
	return new Fault('unreadable', '', status, text.slice(0, 200));
}

/** Any thrown value as a fault; aborts are passed on, they are nobody's fault. */
export function toFault(error: unknown): Fault {
	if (error instanceof Fault) return error;
	return new Fault('unreachable', '', 0, error instanceof Error ? error.message : String(error));
}

export function isAbort(error: unknown): boolean {
	return error instanceof DOMException && error.name === 'AbortError';
}
