import type { Operation, TargetCall } from '../pipeline/call.ts';
import type { ResultImage } from '../pipeline/result.ts';
import type { ImagePayload } from '../images/payload.ts';
import type { Members } from './answers.ts';
import type { OperationCapabilities } from './provider.ts';
import type { WireMembers } from './requests.ts';

/** One of OpenRouter's interfaces: what differs between them. */
export interface OpenrouterApi {
  /** Where it is, below the connection's base. */
  readonly path: string;
  readonly operations: Readonly<Record<Operation, OperationCapabilities>>;
  members(call: TargetCall): { readonly members: WireMembers; readonly dropped: readonly string[] };
  /** @throws GatewayError content_policy_violation for a refusal that came as a 200 */
  pictures(document: Members): readonly (ResultImage | ImagePayload | undefined)[];
}

/** The ratios that most models have. */
export const commonRatios = ['1:1', '2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9', '21:9'];
