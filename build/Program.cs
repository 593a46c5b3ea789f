using DoSandbox.Build;

return Tasks.Run(args);
