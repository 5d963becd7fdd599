import { RE2JS } from 're2js';

/** A regular expression that a user wrote. It matches in time linear to the text, whatever the expression. */
export interface Pattern {
  readonly source: string;
  /** Whether the *whole* text matches. */
  matches(text: string): boolean;
  /** Whether some part of the text matches. */
  isIn(text: string): boolean;
}

/**
 * @param source in RE2's syntax: no look-around, no back-references
 * @throws Error with RE2's own words when the expression is not valid
 */
export function compilePattern(source: string): Pattern {
  const expression = RE2JS.compile(source);
  return { source, matches: (text) => expression.matches(text), isIn: (text) => expression.test(text) };
}
