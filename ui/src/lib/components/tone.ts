// From a state to its colour. Colour never stands alone: the word is always beside it.
import type { BackupState, Check, ClusterState, Health, NodeState, OperationState, Severity, StepState } from '$lib/api/types';

export type Tone = 'ok' | 'busy' | 'warn' | 'bad' | 'idle';

const CLUSTER: Record<ClusterState, Tone> = { running: 'ok', creating: 'busy', changing: 'busy', degraded: 'warn', down: 'bad', deleting: 'busy' };
const HEALTH: Record<Health, Tone> = { healthy: 'ok', degraded: 'warn', down: 'bad', unknown: 'idle' };
const NODE: Record<NodeState, Tone> = { running: 'ok', starting: 'busy', crashed: 'bad', unresponsive: 'bad', drained: 'idle', stopped: 'idle', unknown: 'idle' };
const OPERATION: Record<OperationState, Tone> = { queued: 'idle', running: 'busy', waiting: 'busy', unwinding: 'warn', succeeded: 'ok', failed: 'bad', cancelled: 'idle' };
const STEP: Record<StepState, Tone> = { pending: 'idle', running: 'busy', succeeded: 'ok', failed: 'bad', undoing: 'warn', undone: 'idle' };
/** One that nobody has restored yet is unknown, which is not good. */
const BACKUP: Record<BackupState, Tone> = { making: 'busy', stored: 'idle', verified: 'ok', failed: 'bad', damaged: 'bad' };
const CHECK: Record<Check['state'], Tone> = { passed: 'ok', warning: 'warn', failed: 'bad', skipped: 'idle' };
const AUDIT: Record<string, Tone> = { asked: 'idle', succeeded: 'ok', failed: 'bad', cancelled: 'idle', refused: 'warn', noticed: 'warn' };

/** A running cluster nobody has looked at is not shown in the colour of a healthy one. */
export const clusterTone = (state: ClusterState, health: Health): Tone => (state === 'running' ? HEALTH[health] : CLUSTER[state]);
/** A deletion that nobody works on any more has failed. */
export const stateTone = (c: { state: ClusterState; health: Health; busy: unknown }): Tone => (c.state === 'deleting' && c.busy === null ? 'bad' : clusterTone(c.state, c.health));
export const healthTone = (health: Health): Tone => HEALTH[health];
export const nodeTone = (state: NodeState, health: Health): Tone => (state === 'running' ? HEALTH[health] : NODE[state]);
export const operationTone = (state: OperationState): Tone => OPERATION[state];
export const stepTone = (state: StepState): Tone => STEP[state];
export const backupTone = (state: BackupState): Tone => BACKUP[state];
export const severityTone = (severity: Severity): Tone => (severity === 'error' ? 'bad' : 'warn');
export const checkTone = (state: Check['state']): Tone => CHECK[state];
export const auditTone = (result: string): Tone => AUDIT[result] ?? 'idle';

export const FILL: Record<Tone, string> = { ok: 'bg-ok-fill', busy: 'bg-accent', warn: 'bg-warn-fill', bad: 'bg-bad-fill', idle: 'bg-idle-fill' };
export const TEXT: Record<Tone, string> = { ok: 'text-ok', busy: 'text-accent', warn: 'text-warn', bad: 'text-bad', idle: 'text-idle' };
export const SOFT: Record<Tone, string> = {
	ok: 'bg-ok-soft text-ok', busy: 'bg-accent-soft text-accent', warn: 'bg-warn-soft text-warn', bad: 'bg-bad-soft text-bad', idle: 'bg-idle-soft text-idle'
};
