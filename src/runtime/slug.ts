/**
 * The spellings of an entity's name that callers may write before a `/`: marks stripped, lower case, everything between
 * words folded into one separator. Both separators count: Otoroshi's own slugs have `_`, its documentation shows `-`.
 */
export function slugsOf(name: string): readonly string[] {
  const plain = name
    .normalize('NFD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase();
  const words = plain.split(/[\s\-._~!$'()*,;&=@:/]+/).filter((word) => word !== '');
  return [...new Set([words.join('-'), words.join('_')])].filter((slug) => slug !== '');
}
