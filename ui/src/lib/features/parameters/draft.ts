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

/** What is asked for: a field that was emptied and left asks for nothing. */
export function asked(draft: Draft): Draft {
	const typed = Object.entries(draft).map(([name, value]) => [name, value?.trim() ?? null] as const);
	return Object.fromEntries(typed.filter(([, value]) => value !== ''));
}

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
