import { checkAgainstEvaluator, checkAgainstFpus } from './float-soft-check.ts';

checkAgainstFpus(6000);
checkAgainstEvaluator(400);
