/* Generated from schemas/ by `npm run generate`. Do not edit. */

/**
 * The table of what image models cost, as it comes with the gateway: src/budget/image-prices.json. Money is in US dollars.
 */
export interface ImagePrices {
  /**
   * What holds for the table as a whole.
   */
  meta: {
    /**
     * The version of the table's form.
     */
    schema_version: 1;
    /**
     * What all amounts are in.
     */
    currency: 'USD';
    /**
     * The day on which the table was put together.
     */
    compiled: string;
    /**
     * What each unit means.
     */
    units: {
      /**
       * In words.
       */
      [k: string]: string;
    };
    /**
     * How a figure is found in `per_image`.
     */
    lookup: string;
    /**
     * What to do where the quality is not known.
     */
    quality_auto: string;
    /**
     * What goes before any figure of the table.
     */
    rule: string;
    /**
     * Where figures come from, by the name under which models refer to them.
     */
    sources: {
      [k: string]: PriceSourceFile;
    };
  };
  /**
   * What each model costs.
   */
  models: PricedModelFile[];
}
/**
 * One source.
 */
export interface PriceSourceFile {
  /**
   * What it is.
   */
  title: string;
  /**
   * The day, month or year of which it is; n/a for none.
   */
  as_of: string;
}
/**
 * What one model costs at one provider.
 */
export interface PricedModelFile {
  /**
   * Who sells it, by the table's own names.
   */
  provider: string;
  /**
   * The model, or * for all of the provider's.
   */
  model: string;
  /**
   * Further names of the model.
   *
   * Items: A name.
   */
  aliases?: string[];
  /**
   * What is billed.
   */
  unit: 'usd_per_image' | 'usd_per_1m_tokens' | 'usd_per_megapixel' | 'usd_per_step' | 'unpriced';
  /**
   * Whether the model can still be had.
   */
  status?: 'current' | 'legacy' | 'scheduled_shutdown' | 'retired';
  /**
   * The day on which it was shut down, or will be.
   */
  retired_on?: string;
  /**
   * What the price is listed for.
   *
   * Items: An operation.
   */
  operations?: ('generation' | 'edit' | 'variation')[];
  /**
   * US dollars for a picture that is made, by quality and then by size or tier of resolution; * is any.
   */
  per_image?: {
    /**
     * By size.
     */
    [k: string]: {
      /**
       * US dollars for one picture.
       */
      [k: string]: number;
    };
  };
  /**
   * Whether tokens are what is billed, and `per_image` only says what they come to.
   */
  per_image_is_estimate?: boolean;
  /**
   * US dollars for each picture that is sent.
   */
  per_input_image?: number;
  per_token?: TokenPricesFile;
  per_megapixel?: MegapixelPricesFile;
  /**
   * US dollars for a step of diffusion of one picture.
   */
  per_step?: number;
  /**
   * What else there is to know.
   */
  notes?: string;
  /**
   * Where the figures come from, by name.
   *
   * Items: The name of a source.
   */
  source: string[];
  /**
   * How well the figures are known, in words.
   */
  confidence: string;
}
/**
 * US dollars for a million tokens, by kind. What has no price of its own costs what the like of it costs: cached input as other input, pictures as text, text that is written as pictures.
 */
export interface TokenPricesFile {
  /**
   * The prompt.
   */
  text_input: number;
  /**
   * The part of the prompt that the provider had in its cache.
   */
  text_input_cached?: number;
  /**
   * Pictures that are sent.
   */
  image_input?: number;
  /**
   * The part of them that the provider had in its cache.
   */
  image_input_cached?: number;
  /**
   * Text that the model writes, thoughts included.
   */
  text_output?: number;
  /**
   * Pictures that the model makes.
   */
  image_output: number;
}
/**
 * US dollars for a megapixel (1024 × 1024 pixels), rounded up for each picture.
 */
export interface MegapixelPricesFile {
  /**
   * The first megapixel of a picture that is made.
   */
  output_first: number;
  /**
   * Each further one.
   */
  output_next: number;
  /**
   * Each megapixel of a picture that is sent.
   */
  input_each?: number;
}
