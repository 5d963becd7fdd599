import { describe, expect, it } from 'vitest';
import { budgetApplies, budgetValue } from '../../../src/budget/scope.ts';
import type { BudgetSubject } from '../../../src/budget/scope.ts';
import type { ModelFilter } from '../../../src/model-filter.ts';
import { compileNames } from '../../../src/name-list.ts';
import { compilePattern } from '../../../src/pattern.ts';
import { anonymous } from '../../../src/pipeline/settings.ts';
import type { Budget, BudgetScope } from '../../../src/pipeline/settings.ts';
import { makeBudget, makeCaller } from '../../fixtures/budget.ts';
import { makeCall, makeEntity, makeRoute, makeTarget } from '../../fixtures/exchange.ts';

const entity = makeEntity({ id: 'x-main', slugs: ['grok-one', 'grok_one'], providerNames: ['grok', 'x-ai'] });
const subject: BudgetSubject = {
  caller: makeCaller(),
  route: makeRoute({ id: 'generate' }),
  call: makeCall({ parameters: { user: 'end-user-7' } }),
  target: makeTarget({ entity, model: 'grok-imagine', alias: 'image-prod' }),
};

const only = (...sources: readonly string[]): ModelFilter => ({ include: sources.map(compilePattern), exclude: [] });

describe('budgetApplies', () => {
  it('applies to everything when its scope is empty, the anonymous caller included', () => {
    expect(budgetApplies(makeBudget(), subject)).toBe(true);
    expect(budgetApplies(makeBudget(), { ...subject, caller: anonymous })).toBe(true);
  });

  it.each<[string, Partial<BudgetScope>, Partial<BudgetScope>]>([
    ['consumers', { consumers: new Set(['web-app']) }, { consumers: new Set(['other']) }],
    ['users', { users: new Set(['alice', 'bob']) }, { users: new Set(['bob']) }],
    ['teams', { teams: new Set(['growth']) }, { teams: new Set() }],
    ['providers', { providers: new Set(['grok']) }, { providers: new Set(['openai']) }],
    ['providers by another name', { providers: new Set(['x-ai']) }, { providers: new Set(['x_ai']) }],
    ['providers by the id of an entity', { providers: new Set(['x-main']) }, { providers: new Set(['x']) }],
    ['entities', { entities: new Set(['x-main']) }, { entities: new Set(['grok']) }],
    ['patterns', { teams: compileNames(['gr.*h']) }, { teams: compileNames(['grow|row.*']) }],
    ['names that would be patterns too', { users: compileNames(['alice']) }, { users: compileNames(['al.ce']) }],
    ['routes', { routes: new Set(['generate']) }, { routes: new Set(['edit']) }],
    ['bare models', { models: only('grok-.*') }, { models: only('imagine') }],
    ['models by entity', { models: only('x-main/.*') }, { models: only('openai/.*') }],
    ['models by slug', { models: only('grok_one/grok-imagine') }, { models: only('grok one/grok-imagine') }],
    ['models by alias', { models: only('image-prod') }, { models: only('image') }],
  ])('goes by %s', (_what, matching, other) => {
    expect(budgetApplies(makeBudget({ scope: matching }), subject)).toBe(true);
    expect(budgetApplies(makeBudget({ scope: other }), subject)).toBe(false);
  });

  it('leaves out models that the scope excludes', () => {
    const scope = { models: { include: [], exclude: [compilePattern('grok-imagine')] } };
    expect(budgetApplies(makeBudget({ scope }), subject)).toBe(false);
  });

  it('asks all lists to match', () => {
    const scope = { teams: new Set(['growth']), routes: new Set(['edit']) };
    expect(budgetApplies(makeBudget({ scope }), subject)).toBe(false);
  });

  it('does not apply to a caller without a team when it is for teams', () => {
    const budget = makeBudget({ scope: { teams: new Set(['growth']) } });
    expect(budgetApplies(budget, { ...subject, caller: makeCaller({ team: undefined }) })).toBe(false);
    expect(budgetApplies(budget, { ...subject, caller: anonymous })).toBe(false);
  });

  it('applies to a consumer that names it though it is for others, as long as the call is of the kind it counts', () => {
    const named = { ...subject, caller: makeCaller({ budgets: ['shared'] }) };
    const scope = { teams: new Set(['design']), models: only('grok-.*') };
    const budget = makeBudget({ id: 'shared', scope });
    expect(budgetApplies(budget, subject)).toBe(false);
    expect(budgetApplies(budget, named)).toBe(true);
    expect(budgetApplies({ ...budget, scope: { ...budget.scope, models: only('gpt-.*') } }, named)).toBe(false);
  });
});

describe('budgetValue', () => {
  it.each<[Budget['per'], string | undefined]>([
    [undefined, undefined],
    ['consumer', 'web-app'],
    ['user', 'alice'],
    ['team', 'growth'],
    ['end_user', 'end-user-7'],
    ['entity', 'x-main'],
    ['model', 'grok-imagine'],
    ['provider', 'grok'],
    ['route', 'generate'],
  ])('per %s is %s', (per, value) => {
    expect(budgetValue(makeBudget({ per }), subject)).toBe(value);
  });

  it('is the end user of the header, where there is one, before that of the body', () => {
    const caller = { ...makeCaller(), endUser: 'from-the-header' };
    expect(budgetValue(makeBudget({ per: 'end_user' }), { ...subject, caller })).toBe('from-the-header');
  });

  it('is one value for all who have none', () => {
    expect(budgetValue(makeBudget({ per: 'team' }), { ...subject, caller: anonymous })).toBe('(none)');
  });
});
