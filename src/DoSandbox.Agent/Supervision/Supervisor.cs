namespace DoSandbox.Agent.Supervision;

internal static class Supervisor
{
    public static int Run() => 1;
}
