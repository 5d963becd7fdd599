import { describe, expect, it } from 'vitest';
import { BadS3Location, parseS3Location } from '../../src/s3-location.ts';

describe('a place in S3', () => {
  it.each([
    ['s3://pictures', 'pictures', '', 'us-east-1', 'https://pictures.s3.us-east-1.amazonaws.com'],
    ['s3://pictures/', 'pictures', '', 'us-east-1', 'https://pictures.s3.us-east-1.amazonaws.com'],
    [
      's3://pictures/a/b?region=eu-central-1',
      'pictures',
      'a/b/',
      'eu-central-1',
      'https://pictures.s3.eu-central-1.amazonaws.com',
    ],
    ['s3://pictures//a//b/', 'pictures', 'a/b/', 'us-east-1', 'https://pictures.s3.us-east-1.amazonaws.com'],
    ['s3://my.pictures', 'my.pictures', '', 'us-east-1', 'https://s3.us-east-1.amazonaws.com/my.pictures'],
    ['s3://pictures?path_style=true', 'pictures', '', 'us-east-1', 'https://s3.us-east-1.amazonaws.com/pictures'],
    [
      's3://pictures?region=cn-north-1',
      'pictures',
      '',
      'cn-north-1',
      'https://pictures.s3.cn-north-1.amazonaws.com.cn',
    ],
    ['s3://pictures?endpoint=http://127.0.0.1:9000', 'pictures', '', 'us-east-1', 'http://127.0.0.1:9000/pictures'],
    [
      's3://pictures?endpoint=https%3A%2F%2Fs3.test%2Fbase%2F',
      'pictures',
      '',
      'us-east-1',
      'https://s3.test/base/pictures',
    ],
    [
      's3://pictures?endpoint=https://s3.test&path_style=false',
      'pictures',
      '',
      'us-east-1',
      'https://pictures.s3.test',
    ],
    [
      's3://pictures?region=auto&endpoint=https://account.r2.test',
      'pictures',
      '',
      'auto',
      'https://account.r2.test/pictures',
    ],
  ])('%s is read', (text, bucket, prefix, region, bucketUrl) => {
    expect(parseS3Location(text)).toEqual({ bucket, prefix, region, bucketUrl });
  });

  it.each([
    's3:',
    's3:pictures',
    's3://',
    's3:///prefix',
    's3://ab',
    's3://Pictures',
    's3://pic_tures',
    's3://-pictures',
    's3://pictures.',
    's3://key:secret@pictures',
    's3://pictures:9000',
    's3://pictures/../other',
    's3://pictures/a/./b',
    's3://pictures/a b',
    's3://pictures/a%20b',
    's3://pictures/ä',
    's3://pictures#part',
    's3://pictures?region=',
    's3://pictures?region=eu central',
    's3://pictures?region=a&region=b',
    's3://pictures?endpoint=',
    's3://pictures?endpoint=s3.test',
    's3://pictures?endpoint=ftp://s3.test',
    's3://pictures?endpoint=https://key:secret@s3.test',
    's3://pictures?endpoint=https://s3.test?a=b',
    's3://pictures?path_style=yes',
    's3://pictures?pathstyle=true',
    's3://pictures?secret_access_key=x',
  ])('%s is none', (text) => {
    expect(() => parseS3Location(text)).toThrow(BadS3Location);
  });
});
