// What somebody has typed into the parameters of a cluster and not asked for yet.
import type { Parameter } from '$lib/api/types';

/** New values by name; null for the default. */
export type Draft = Record<string, string | null>;

/** The draft with one more edit; an edit that changes nothing leaves it. */
export function edited(draft: Draft, parameter: Parameter, value: string | null): Draft {
	const { [parameter.name]: _, ...rest } = draft;
	const text = value === null ? null : value.trim();
	const same = text === parameter.chosen || (text !== null && parameter.chosen === null && text === parameter.value);
	return same ? rest : { ...rest, [parameter.name]: value };
}

/** What is asked for. An emptied text asks for an empty text, which is a value too: `''`. */
export const asked = (draft: Draft): Draft => Object.fromEntries(Object.entries(draft).map(([name, value]) => [name, value?.trim() ?? null]));

/** The edits that still change something: what was applied meanwhile, here or elsewhere, is none any more. */
export function kept(draft: Draft, all: Parameter[]): Draft {
	return all.reduce((rest, p) => (p.name in rest ? edited(rest, p, rest[p.name] ?? null) : rest), draft);
}

/** Whether an edit is no value yet: an emptied field where only text may be empty. */
export const unfinished = (draft: Draft, parameter: Parameter): boolean => parameter.kind !== 'text' && draft[parameter.name]?.trim() === '';

/** What stands in the field of a parameter. */
export const shown = (draft: Draft, parameter: Parameter): string => {
	const typed = draft[parameter.name];
	return typed === undefined ? (parameter.chosen ?? parameter.value) : (typed ?? '');
};

export interface Group {
	name: string;
	items: Parameter[];
}

/** Those that fit, by what they have to do with, in the order of the server. What was set comes with `only`. */
export function grouped(all: Parameter[], text: string, only: boolean): Group[] {
	const wanted = text.trim().toLowerCase();
	const groups: Group[] = [];
	for (const p of all) {
		if (only && p.chosen === null) continue;
		if (wanted !== '' && !`${p.name} ${p.about} ${p.group}`.toLowerCase().includes(wanted)) continue;
		const last = groups.find((g) => g.name === p.group);
		if (last) last.items.push(p);
		else groups.push({ name: p.group, items: [p] });
	}
	return groups;
}
