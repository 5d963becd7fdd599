/**
 * The format to ask of a vendor that has PNG and JPEG only: WebP is made of PNG by the gateway, so that nothing is lost
 * twice. Undefined when nothing was asked for, and for a format that is made of neither.
 */
export function pngOrJpeg(asked: string | undefined): 'png' | 'jpeg' | undefined {
  if (asked === 'jpeg' || asked === 'jpg') return 'jpeg';
  return asked === 'png' || asked === 'webp' ? 'png' : undefined;
}
