import { formatProblem, type Problem } from '../config/problems.ts';
import { problemLine, type ReloadProblem } from '../config/reload.ts';

/** All problems for a person, those of the file with the lines around them. @param word what they are called */
export function printProblems(
  problems: readonly (Problem | ReloadProblem)[],
  colour: boolean,
  word = 'problem',
): string {
  const printed = problems.map((problem) =>
    isPlaced(problem) ? formatProblem(problem, { colour }) : problemLine(problem),
  );
  const count = problems.length === 1 ? `1 ${word}` : `${problems.length} ${word}s`;
  return `${printed.join('\n\n')}\n\n${count}.\n`;
}

function isPlaced(problem: Problem | ReloadProblem): problem is Problem {
  return problem.file !== undefined && problem.line !== undefined && problem.column !== undefined;
}
