/** Hands a file to the browser's downloads. */
export function saveFile(name: string, type: string, content: string | Uint8Array<ArrayBuffer>): void {
	const address = URL.createObjectURL(new Blob([content], { type }));
	const link = document.createElement('a');
	link.href = address;
	link.download = name;
	document.body.append(link);
	link.click();
	link.remove();
	// The download reads the blob after the click; a minute later it has.
	setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
