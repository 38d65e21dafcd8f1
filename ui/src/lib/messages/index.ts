// The catalogue in force. One language so far; the choice belongs here and nowhere else.
import { en, type Messages } from './en';

export const m: Messages = en;
