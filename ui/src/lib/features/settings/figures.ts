// The safety figures in the units people set them in.
import type { Figures } from '$lib/api/types';
import { m } from '$lib/messages';

export interface FigureField {
	id: keyof Figures;
	unit: string;
	/** How much of the API's unit one of ours is. */
	per: number;
}

const MIB = 1024 * 1024;
export const FIELDS: FigureField[] = [
	{ id: 'max_promotion_lag_bytes', unit: m.settings.mib, per: MIB },
	{ id: 'max_observation_age_ms', unit: m.settings.seconds, per: 1000 },
	{ id: 'disk_headroom_percent', unit: m.settings.percentUnit, per: 1 },
	{ id: 'memory_reserve_bytes', unit: m.settings.mib, per: MIB },
	{ id: 'backup_age_hours', unit: m.settings.hours, per: 1 },
	{ id: 'open_transaction_seconds', unit: m.settings.seconds, per: 1 },
	{ id: 'keep_within_ms', unit: m.settings.seconds, per: 1000 }
];
/** As in safety.md. */
export const DEFAULTS: Figures = { max_promotion_lag_bytes: MIB, max_observation_age_ms: 10_000, disk_headroom_percent: 20, memory_reserve_bytes: 512 * MIB, backup_age_hours: 24, open_transaction_seconds: 15, keep_within_ms: 60_000 };

export const shown = (field: FigureField, figures: Figures): string => String(Math.round((figures[field.id] / field.per) * 1000) / 1000);

/** Null when it is not a number of 0 or more. */
export function read(field: FigureField, text: string): number | null {
	const value = text.trim() === '' ? Number.NaN : Number(text.replace(',', '.'));
	return Number.isFinite(value) && value >= 0 ? Math.round(value * field.per) : null;
}
